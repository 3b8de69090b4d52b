import type {
  IncomingRecord,
  OutgoingRecord,
  Publisher,
  SubscribeOptions,
  Subscriber,
  Subscription,
} from "@distributed-messaging/messaging";
import type { BrokerLog, PartitionLog } from "./broker-log.ts";
import type { Faults } from "./faults.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Prng } from "./prng.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimulatedSubscription } from "./subscription.ts";
import type { Trace } from "./trace.ts";

/** How long a client waits for an acknowledgement before it gives up. */
const PUBLISH_TIMEOUT_MS = 3_000;
/** How long a request that was given up may still linger before it reaches the broker. */
export const STRAGGLING_MS = 8_000;

export interface NetworkOptions {
  readonly log: BrokerLog;
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
}

/**
 * The broker, and the way to it. It keeps the promises that `transport.ts` writes down, and breaks every one
 * that is not written there.
 */
export class Network {
  readonly log: BrokerLog;
  readonly options: NetworkOptions;
  /** Requests and deliveries that are on their way. */
  inFlight = 0;
  up = true;
  readonly #subscriptions = new Set<SimulatedSubscription>();

  constructor(options: NetworkOptions) {
    this.log = options.log;
    this.options = options;
  }

  /** What a process is connected with for as long as it lives. */
  connect(client: Incarnation): Publisher & Subscriber {
    return {
      publish: (records) => new Promise((resolve, reject) => this.#publish(client, records, resolve, reject)),
      subscribe: (options) => this.#subscribe(client, options),
    };
  }

  /** The connections of a process that died. */
  disconnect(client: Incarnation): void {
    for (const subscription of this.#subscriptions) if (subscription.client === client) subscription.end();
  }

  goAway(): void {
    this.up = false;
    this.options.trace.note("broker", "is away");
    for (const subscription of this.#subscriptions) subscription.revoke();
  }

  comeBack(): void {
    this.up = true;
    this.options.trace.note("broker", "is back");
    this.rebalance();
  }

  /** Takes the partitions from everybody and deals them out again. */
  rebalance(group?: string): void {
    for (const subscription of this.#subscriptions) {
      if (group === undefined || subscription.options.group === group) subscription.reassign();
    }
  }

  /** Stores records at once, from wherever they come. */
  store(records: readonly OutgoingRecord[]): void {
    const touched = new Set<PartitionLog>();
    for (const record of records) {
      const partition = this.log.partitionFor(record);
      partition.append(record, this.options.scheduler.nowMs);
      touched.add(partition);
    }
    for (const partition of touched) {
      for (const subscription of this.#subscriptions) subscription.wake(partition);
    }
  }

  /** A few milliseconds, now and then many. */
  latencyMs(): number {
    return 0.2 + this.options.prng.exponential(2);
  }

  /** Runs `arrive` at the other end of the wire, later. */
  #travel(delayMs: number, arrive: () => void, owner?: Incarnation): void {
    this.inFlight += 1;
    const { scheduler } = this.options;
    scheduler.after(delayMs, () => {
      this.inFlight -= 1;
      if (owner?.alive !== false) arrive();
    });
  }

  #subscribe(client: Incarnation, options: SubscribeOptions): Subscription {
    const subscription = new SimulatedSubscription(this, client, options, () =>
      this.#subscriptions.delete(subscription),
    );
    this.#subscriptions.add(subscription);
    if (this.up) subscription.reassign();
    return subscription;
  }

  #publish(
    client: Incarnation,
    records: readonly OutgoingRecord[],
    resolve: () => void,
    reject: (error: Error) => void,
  ): void {
    const { faults, prng, trace } = this.options;
    if (!client.alive) return;
    if (faults.strikes("crashBeforeSend")) {
      client.crash("before a send");
      return;
    }
    const refuse = (why: string, afterMs: number) =>
      this.#travel(
        afterMs,
        () => {
          trace.note(client.process, `a send of ${records.length} failed: ${why}`);
          reject(new Error(why));
        },
        client,
      );
    if (!this.up) {
      refuse("the broker is away", prng.between(1, 300));
      return;
    }
    if (faults.strikes("publishStoredLate")) {
      refuse("no answer in time", PUBLISH_TIMEOUT_MS);
      this.#storeLate(client, records);
      return;
    }
    this.#travel(this.latencyMs(), () => {
      if (!this.up || faults.strikes("publishRefused")) {
        refuse("the broker refuses", this.latencyMs());
      } else if (faults.strikes("publishPartlyStored")) {
        this.store(this.#someOf(records));
        refuse("only a part was stored", this.latencyMs());
      } else this.#storeAndAnswer(client, records, resolve, refuse);
    });
  }

  #storeAndAnswer(
    client: Incarnation,
    records: readonly OutgoingRecord[],
    resolve: () => void,
    refuse: (why: string, afterMs: number) => void,
  ): void {
    const { faults, scheduler, trace } = this.options;
    trace.note("broker", `stores ${records.length} of ${client.process}`);
    this.store(records);
    if (faults.strikes("publishStoredTwice")) this.#storeLate(client, records);
    if (faults.strikes("crashBeforeAcknowledgement")) client.crash("between a send and its acknowledgement");
    else if (faults.strikes("acknowledgementLost")) refuse("no answer in time", PUBLISH_TIMEOUT_MS);
    else {
      const acknowledge = () => {
        // Planned first, so that it happens before anything that the acknowledgement leads to.
        if (faults.strikes("crashAfterAcknowledgement")) {
          scheduler.after(0, () => client.crash("right after an acknowledgement"), client);
        }
        resolve();
      };
      this.#travel(this.latencyMs(), acknowledge, client);
    }
  }

  /** A copy that reaches the broker when nobody waits for it any more. */
  #storeLate(client: Incarnation, records: readonly OutgoingRecord[]): void {
    const { prng, trace } = this.options;
    const attempt = () => {
      if (!this.up) return;
      trace.note("broker", `stores ${records.length} of ${client.process}, late`);
      this.store(records);
    };
    this.#travel(prng.float() * STRAGGLING_MS, attempt);
  }

  /** Of each partition's records, the first so many: a partition is written from the front. */
  #someOf(records: readonly OutgoingRecord[]): OutgoingRecord[] {
    const byPartition = Map.groupBy(records, (record) => this.log.partitionFor(record));
    return [...byPartition.values()].flatMap((of) => of.slice(0, this.options.prng.between(0, of.length)));
  }

  /** Brings records to a subscriber. */
  deliver(delayMs: number, arrive: () => void): void {
    this.#travel(delayMs, arrive);
  }
}

/** A record in a line of the trace. */
export function placeOf(record: IncomingRecord): string {
  return `${record.topic}/${record.partition}/${record.offset}`;
}
