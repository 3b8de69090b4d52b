import type { Runtime } from "../runtime.ts";
import type { IncomingRecord, SubscribeOptions, Subscription } from "./transport.ts";

/** Records in one delivery. */
const BATCH = 100;
/** After a handler rejected, or a reader could not say where to begin. */
const RETRY_AFTER_MS = 1_000;

export interface Partition {
  readonly topic: string;
  readonly partition: number;
}

/** What a member of a group needs of its broker. */
export interface MemoryMembership {
  readonly runtime: Runtime;
  log(topic: string, partition: number): readonly IncomingRecord[];
  leave(): void;
}

/** Where one partition's reader stands, from one assignment to the next. */
interface Reader extends Partition {
  next: number;
  busy: boolean;
  paused: boolean;
  active: boolean;
}

/** One member of a consumer group of the broker in memory. */
export class MemorySubscription implements Subscription {
  readonly options: SubscribeOptions;
  readonly #membership: MemoryMembership;
  readonly #handling = new Set<Promise<void>>();
  readonly #timers = new Set<() => void>();
  #readers: readonly Reader[] = [];
  #generation = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: SubscribeOptions, membership: MemoryMembership) {
    this.options = options;
    this.#membership = membership;
  }

  healthy(): boolean {
    return this.#stopped === undefined;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  assign(partitions: readonly Partition[]): void {
    this.#revoke();
    this.#generation += 1;
    const generation = this.#generation;
    // What is being handled under the old assignment is finished before the positions are asked for.
    Promise.all(this.#handling).then(() => {
      if (generation === this.#generation && this.#stopped === undefined) this.#begin(partitions);
    });
  }

  /** There may be something new. */
  wake(): void {
    for (const reader of this.#readers) this.#deliver(reader);
  }

  async #stop(): Promise<void> {
    this.#revoke();
    await Promise.all(this.#handling);
    this.#membership.leave();
  }

  #revoke(): void {
    for (const reader of this.#readers) reader.active = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #begin(partitions: readonly Partition[]): void {
    try {
      this.#readers = partitions.map(({ topic, partition }) => {
        const next = this.options.startAt(topic, partition) ?? 0;
        return { topic, partition, next, busy: false, paused: false, active: true };
      });
    } catch {
      // It cannot say where to begin, for a disk that does not answer perhaps: asked again, all of it.
      this.#readers = [];
      this.#later(RETRY_AFTER_MS, () => this.assign(partitions));
      return;
    }
    this.wake();
  }

  #deliver(reader: Reader): void {
    if (reader.busy || reader.paused || !reader.active) return;
    const log = this.#membership.log(reader.topic, reader.partition);
    if (reader.next > log.length) reader.next = 0;
    if (reader.next === log.length) return;
    reader.busy = true;
    const work = new Promise<void>((resolve) => {
      this.#membership.runtime.soon(() => this.#handleNext(reader, log).then(resolve));
    });
    this.#handling.add(work);
    work.finally(() => {
      this.#handling.delete(work);
      this.#deliver(reader);
    });
  }

  async #handleNext(reader: Reader, log: readonly IncomingRecord[]): Promise<void> {
    const { topic, partition } = reader;
    try {
      if (!reader.active) return;
      const records = log.slice(reader.next, reader.next + BATCH);
      const { next, pauseMs } = await this.options.handle({ topic, partition, records, end: log.length });
      reader.next = next;
      if (pauseMs !== undefined) this.#pause(reader, pauseMs);
    } catch {
      this.#pause(reader, RETRY_AFTER_MS);
    } finally {
      reader.busy = false;
    }
  }

  #pause(reader: Reader, pauseMs: number): void {
    if (!reader.active || pauseMs <= 0) return;
    reader.paused = true;
    this.#later(pauseMs, () => {
      reader.paused = false;
      this.#deliver(reader);
    });
  }

  #later(delayMs: number, callback: () => void): void {
    const cancel = this.#membership.runtime.after(delayMs, () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
  }
}
