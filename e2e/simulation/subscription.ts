import type {
  IncomingRecord,
  Progress,
  SubscribeOptions,
  Subscription,
} from "@distributed-messaging/messaging";
import type { PartitionLog } from "./broker-log.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Network } from "./network.ts";

/** Records in one delivery, at most. */
const MOST_RECORDS = 40;
/** How far back a redelivery goes, at most. */
const MOST_REDELIVERED = 30;
/** How long a batch stays away whose handler rejected. */
const REJECTED_PAUSE_MS = 500;
const LATE_MS = 4_000;
const REBALANCE_MS = 50;

/** Where one partition's reader stands, from one assignment to the next. */
interface Reader {
  readonly log: PartitionLog;
  next: number;
  /** A delivery is on its way or in the handler's hands. */
  busy: boolean;
  paused: boolean;
  active: boolean;
}

/** One member of a consumer group, alone in it: its service has one process. */
export class SimulatedSubscription implements Subscription {
  readonly client: Incarnation;
  readonly options: SubscribeOptions;
  readonly #network: Network;
  readonly #leave: () => void;
  #readers = new Map<PartitionLog, Reader>();
  /** Handlers that run. */
  #handling = 0;
  #whenIdle: (() => void)[] = [];
  #ended = false;
  #assignments = 0;

  constructor(network: Network, client: Incarnation, options: SubscribeOptions, leave: () => void) {
    this.#network = network;
    this.client = client;
    this.options = options;
    this.#leave = leave;
  }

  healthy(): boolean {
    return !this.#ended && this.#network.up;
  }

  stop(): Promise<void> {
    this.end();
    return new Promise((resolve) => this.#onceIdle(resolve));
  }

  /** Nothing is delivered any more. */
  end(): void {
    this.#ended = true;
    this.revoke();
    this.#leave();
  }

  /** Deliveries that have not arrived do not; a handler that runs may finish. */
  revoke(): void {
    this.#assignments += 1;
    for (const reader of this.#readers.values()) reader.active = false;
    this.#readers = new Map();
  }

  /** Takes all partitions anew, once nothing of the old assignment is being handled. */
  reassign(): void {
    this.revoke();
    const assignment = this.#assignments;
    const { prng, log, scheduler } = this.#network.options;
    scheduler.after(
      prng.exponential(REBALANCE_MS),
      () => {
        this.#onceIdle(() => {
          if (this.#ended || assignment !== this.#assignments || !this.#network.up) return;
          this.#tryToAssign(() => {
            for (const topic of this.options.topics) {
              for (const partition of log.partitionsOf(topic)) this.#assign(partition);
            }
          });
        });
      },
      this.client,
    );
  }

  /** A reader that cannot say where to begin joins again later, as a consumer does that has crashed. */
  #tryToAssign(assign: () => void): void {
    try {
      assign();
    } catch {
      if (this.client.alive) this.reassign();
    }
  }

  /** The partition has something new. */
  wake(partition: PartitionLog): void {
    const reader = this.#readers.get(partition);
    if (reader !== undefined) this.#deliver(reader);
  }

  #assign(log: PartitionLog): void {
    const start = this.options.startAt(log.topic, log.partition) ?? 0;
    const next = start >= log.end ? 0 : start;
    const reader: Reader = { log, next, busy: false, paused: false, active: true };
    this.#readers.set(log, reader);
    this.#deliver(reader);
  }

  #deliver(reader: Reader): void {
    if (reader.busy || reader.paused || !reader.active || reader.next >= reader.log.end) return;
    reader.busy = true;
    const { faults, prng } = this.#network.options;
    const late = faults.strikes("deliveryLate") ? prng.float() * LATE_MS : 0;
    this.#network.deliver(this.#network.latencyMs() + late, () => {
      if (!reader.active || !this.client.alive) return;
      const records = this.#fetch(reader);
      if (records.length > 0) this.#handle(reader, records);
      else reader.busy = false;
    });
  }

  #fetch(reader: Reader): readonly IncomingRecord[] {
    const { faults, prng } = this.#network.options;
    const back = faults.strikes("redelivery") ? prng.between(1, MOST_REDELIVERED) : 0;
    const limit = prng.chance(0.3) ? prng.between(1, 3) : MOST_RECORDS;
    return reader.log.from(Math.max(0, reader.next - back), limit);
  }

  #handle(reader: Reader, records: readonly IncomingRecord[]): void {
    const { topic, partition, end } = reader.log;
    const { trace } = this.#network.options;
    const [first, last] = [records[0]?.offset, records.at(-1)?.offset];
    trace.note(this.client.process, `is given ${topic}/${partition} from ${first} to ${last}`);
    this.#handling += 1;
    this.options.handle({ topic, partition, records, end }).then(
      (progress) => this.#handled(reader, progress),
      (error: unknown) => {
        trace.note(this.client.process, `rejects ${topic}/${partition} from ${first}: ${String(error)}`);
        this.#handled(reader, { next: reader.next, pauseMs: REJECTED_PAUSE_MS });
      },
    );
  }

  #handled(reader: Reader, progress: Progress): void {
    if (!this.client.alive) return;
    const { faults, trace } = this.#network.options;
    this.#handling -= 1;
    if (faults.strikes("crashBeforeProgress")) {
      this.client.crash("between a commit and its progress");
      return;
    }
    if (reader.active) {
      const { topic, partition } = reader.log;
      if (faults.strikes("progressLost")) {
        // As when the session ends before the reader is heard: the partition is assigned anew.
        trace.note(this.client.process, `progress in ${topic}/${partition} is lost`);
        reader.active = false;
        this.#tryToAssign(() => this.#assign(reader.log));
      } else this.#goOn(reader, progress);
    }
    if (this.#handling === 0) for (const callback of this.#whenIdle.splice(0)) callback();
  }

  #goOn(reader: Reader, { next, pauseMs }: Progress): void {
    reader.busy = false;
    reader.next = next;
    if (pauseMs === undefined) this.#deliver(reader);
    else this.#pause(reader, pauseMs);
  }

  #pause(reader: Reader, pauseMs: number): void {
    reader.paused = true;
    this.#network.options.scheduler.after(
      pauseMs,
      () => {
        reader.paused = false;
        this.#deliver(reader);
      },
      this.client,
    );
  }

  #onceIdle(callback: () => void): void {
    if (this.#handling === 0) callback();
    else this.#whenIdle.push(callback);
  }
}
