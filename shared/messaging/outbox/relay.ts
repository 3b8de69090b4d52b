import { errorText, isLogged } from "../errors.ts";
import type { Observed } from "../observer.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import { type Backoff, backoffMs, type Logger, type Runtime } from "../runtime.ts";
import type { Tracing } from "../tracing.ts";
import {
  type OutgoingRecord,
  PublishError,
  type Publisher,
  type PublishFailure,
  recordBytes,
} from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { Outbox, OutboxRow, SeqRange } from "./outbox.ts";
import type { ParkedRecords } from "./parked.ts";

/** Records in one send. A send costs much the same with one record as with many. */
const BATCH = 500;
/** Below the megabyte that brokers take in one batch of a partition, should all records be of the same one. */
const BATCH_BYTES = 768 * 1024;
/** How often to look for records without having been woken. A backstop: it should never find any. */
const BACKSTOP_MS = 1_000;
/** How long a stop waits for the send in flight. Without an answer the next process sends its records again. */
const STOP_MS = 2_000;
const BACKOFF: Backoff = { firstMs: 50, mostMs: 5_000 };
/** Between two tries of a topic that does not exist or may not be written. */
const TOPIC_BACKOFF: Backoff = { firstMs: 1_000, mostMs: 15_000 };
/** A topic may be about to be created. After this time its records are parked. */
export const TOPIC_PATIENCE_MS = 60_000;

/** A topic that does not exist or may not be written: its records wait. */
interface RefusedTopic {
  /** Of the monotonic clock, like the next one. */
  readonly sinceMs: number;
  /** When it is tried again; undefined while it is. */
  readonly untilMs: number | undefined;
  readonly failures: number;
  readonly error: string;
}

interface Waiting {
  readonly seq: number;
  readonly end: (isAcknowledged: boolean) => void;
}

/** Why the records of a topic wait, in words. */
export interface TopicRefusal {
  readonly topic: string;
  readonly error: string;
}

/**
 * Sends the outbox to the broker: in order, with one send in flight. That keeps the order of a key without an
 * idempotent producer: of two sends in flight the second could be stored first, and after a lost answer a broker
 * that counts sequence numbers can drop a record that it never stored.
 *
 * A send that fails is repeated until it succeeds, so a record may be stored more than once; the inboxes of the
 * readers remove the duplicates. A record is deleted only after the broker has acknowledged it.
 *
 * What the broker refuses does not keep the other records from being sent, see `#resolve`.
 */
export class Relay {
  readonly #outbox: Outbox;
  readonly #parked: ParkedRecords;
  readonly #unitOfWork: UnitOfWork;
  readonly #publisher: Publisher;
  readonly #observed: Observed;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #tracing: Tracing | undefined;
  /** The last record that has been dealt with: acknowledged, or passed over because its topic waits. */
  #cursor = 0;
  /** Acknowledged, and perhaps not deleted yet. */
  readonly #acknowledged = new Set<SeqRange>();
  /** Those whose deletion has not been queued, or failed. */
  #toDelete: SeqRange[] = [];
  /** Who wants to know whether a record was acknowledged. */
  readonly #waiting = new Set<Waiting>();
  readonly #refusedTopics = new Map<string, RefusedTopic>();
  /** The bytes that the broker took of a topic after it had refused more at a time. For as long as the process lives. */
  readonly #acceptedBytes = new Map<string, number>();
  #failures = 0;
  /** Why the last send failed, while sends fail. */
  #failure: string | undefined;
  readonly #sending: RepeatedFailure;
  #backingOff = false;
  /** Something was emitted while the relay was sending. */
  #woken = false;
  #running: Promise<void> | undefined;
  #stopped = true;
  #cancelTimer: (() => void) | undefined;

  constructor(options: {
    outbox: Outbox;
    parked: ParkedRecords;
    unitOfWork: UnitOfWork;
    publisher: Publisher;
    observed: Observed;
    runtime: Runtime;
    log: Logger;
    tracing: Tracing | undefined;
  }) {
    this.#outbox = options.outbox;
    this.#parked = options.parked;
    this.#unitOfWork = options.unitOfWork;
    this.#publisher = options.publisher;
    this.#observed = options.observed;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#tracing = options.tracing;
    this.#sending = new RepeatedFailure(options.runtime, options.log);
    this.#unitOfWork.onEmit(() => this.wake());
  }

  /** Begins with what an earlier process left. */
  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Looks for records to send, unless it is sending or backing off after a failure. */
  wake(): void {
    if (this.#stopped || this.#backingOff) return;
    this.#woken = this.#running !== undefined;
    if (this.#woken) return;
    this.#cancelTimer?.();
    this.#running = this.#drain().finally(() => {
      this.#running = undefined;
      this.#sleep();
    });
  }

  /**
   * Resolves when the send in flight has ended, or after STOP_MS: a broker may hang. What is left stays in the outbox
   * for the next process.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#giveUpWaiting();
    this.#cancelTimer?.();
    const late = Promise.withResolvers<void>();
    const cancel = this.#runtime.after(STOP_MS, late.resolve);
    await Promise.race([this.#running, late.promise]);
    cancel();
  }

  /**
   * Whether the broker has acknowledged a record. Waits for that until a send fails, or for a time.
   *
   * @param limitMs in milliseconds
   */
  whenAcknowledged(seq: number, limitMs: number): Promise<boolean> {
    if (this.#isAcknowledged(seq) || !this.#outbox.has(seq)) return Promise.resolve(true);
    if (this.#stopped || this.#failures > 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting = {
        seq,
        end: (isAcknowledged: boolean) => {
          cancel();
          this.#waiting.delete(waiting);
          resolve(isAcknowledged);
        },
      };
      const cancel = this.#runtime.after(limitMs, () => waiting.end(false));
      this.#waiting.add(waiting);
    });
  }

  #giveUpWaiting(): void {
    for (const waiting of this.#waiting) waiting.end(false);
  }

  /** Whether the broker takes records; not those that it refuses, see `refusedTopics`. */
  healthy(): boolean {
    return this.#failures === 0;
  }

  /** Topics that do not exist or may not be written, and whose records wait. */
  refusedTopics(): string[] {
    return [...this.#refusedTopics.keys()];
  }

  /** The same topics, with the reasons. */
  refusals(): TopicRefusal[] {
    return [...this.#refusedTopics].map(([topic, { error }]) => ({ topic, error }));
  }

  /** Why nothing can be sent; undefined when the last send succeeded. */
  failure(): string | undefined {
    return this.#failure;
  }

  async #drain(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#retryRefusedTopics();
        const rows = this.#outbox.after(this.#cursor, BATCH, BATCH_BYTES);
        const last = rows.at(-1);
        if (last === undefined) {
          this.#delete();
          this.#forgetRefusedTopics();
          return;
        }
        const moved = new Set<string>();
        for (const part of this.#acceptable(rows)) {
          if (this.#stopped) return;
          await this.#send(part, moved);
        }
        this.#cursor = moved.size === 0 ? last.seq : 0;
      } catch (error) {
        this.#cursor = 0;
        this.#woken = false;
        this.#failures += 1;
        this.#giveUpWaiting();
        this.#reportFailure(error);
        return;
      }
      this.#sending.over("", {}, "sending works again");
      this.#failures = 0;
      this.#failure = undefined;
    }
  }

  /** Splits records into sends, in the order of each topic, none of which is larger than what the broker took of a topic. */
  #acceptable(rows: readonly OutboxRow[]): (readonly OutboxRow[])[] {
    if (this.#acceptedBytes.size === 0) return [rows];
    const sends: OutboxRow[][] = [];
    const lastOf = new Map<string, { readonly index: number; readonly bytes: number }>();
    for (const row of rows) {
      const most = this.#acceptedBytes.get(row.topic) ?? Number.POSITIVE_INFINITY;
      const bytes = recordBytes(row);
      const { index, bytes: before } = lastOf.get(row.topic) ?? { index: 0, bytes: 0 };
      const isFull = before > 0 && before + bytes > most;
      const send = isFull ? { index: index + 1, bytes } : { index, bytes: before + bytes };
      lastOf.set(row.topic, send);
      const part = sends[send.index];
      if (part === undefined) sends.push([row]);
      else part.push(row);
    }
    return sends;
  }

  /** Remembers how much of each topic the broker took at a time, after it had refused the parts together. */
  #accepted(parts: readonly (readonly OutboxRow[])[]): void {
    for (const [topic, rows] of Map.groupBy(parts.flat(), (row) => row.topic)) {
      const bytes = parts.map((part) =>
        part.reduce((sum, row) => sum + (row.topic === topic ? recordBytes(row) : 0), 0),
      );
      const most = Math.max(...bytes);
      if (rows.length < 2 || most >= (this.#acceptedBytes.get(topic) ?? Number.POSITIVE_INFINITY)) continue;
      this.#acceptedBytes.set(topic, most);
      this.#log.info(
        { topic, bytes: most },
        "the broker takes smaller batches of a topic: fewer are sent at a time",
      );
    }
  }

  /** Whether a record is neither stored already, nor waiting for its topic, nor moved since it was read. */
  #isDue({ seq, topic, key }: OutboxRow, moved: ReadonlySet<string>): boolean {
    if (this.#refusedTopics.get(topic)?.untilMs !== undefined) return false;
    if (moved.size > 0 && (moved.has(topic) || (key !== null && moved.has(keyOf(topic, key))))) return false;
    return !this.#isAcknowledged(seq);
  }

  #isAcknowledged(seq: number): boolean {
    for (const { from, to } of this.#acknowledged) if (seq >= from && seq <= to) return true;
    return false;
  }

  /** Tries topics again whose time has come: from the beginning of the outbox, where their records are. */
  #retryRefusedTopics(): void {
    const now = this.#runtime.monotonic();
    for (const [topic, refused] of this.#refusedTopics) {
      if (refused.untilMs === undefined || refused.untilMs > now) continue;
      this.#refusedTopics.set(topic, { ...refused, untilMs: undefined });
      this.#cursor = 0;
    }
  }

  /** At the end of the outbox, a topic that was to be tried again had no record. */
  #forgetRefusedTopics(): void {
    for (const [topic, { untilMs }] of this.#refusedTopics) {
      if (untilMs === undefined) this.#refusedTopics.delete(topic);
    }
  }

  /**
   * Publishes those of the records that are due, and deals with those that the broker refuses.
   *
   * @param moved gets the topics and keys whose records are no longer where they were read, so that the outbox has to be
   *   read again
   * @returns whether all of them are stored
   * @throws when everything has to be sent again, after a pause
   */
  async #send(candidates: readonly OutboxRow[], moved: Set<string>): Promise<boolean> {
    const rows = candidates.filter((row) => this.#isDue(row, moved));
    if (rows.length === 0) return candidates.length === 0;
    let failures: ReadonlyMap<OutgoingRecord, PublishFailure> = new Map();
    const startedAtMs = this.#runtime.now();
    const startedMs = this.#runtime.monotonic();
    let isStored = false;
    try {
      await this.#publisher.publish(rows);
      isStored = true;
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      failures = error.failures;
    } finally {
      const seconds = (this.#runtime.monotonic() - startedMs) / 1000;
      this.#observed.observer.sent(rows.length, seconds, isStored);
    }
    this.#acknowledge(rows, failures);
    if (this.#tracing !== undefined) {
      for (const row of rows) if (!failures.has(row)) this.#tracing.sent(row, startedAtMs);
    }
    const areStored = failures.size === 0 || (await this.#resolve(rows, failures, moved));
    return areStored && rows.length === candidates.length;
  }

  /**
   * Decides what happens to records that were not stored. Nothing else decides it.
   *
   * - `transient`: everything is sent again after a pause, as when no broker answers.
   * - `topic`: the records of the topic wait; it is tried again now and then, and in the end they are parked.
   * - `held`: the same, but they are never parked: an operator decides about the topic.
   * - `record`: the records are sent in two halves, each of them again, until one is refused alone. That one is parked,
   *   with the later ones of its topic and key.
   * - `unsent`: they are sent next.
   *
   * @returns whether all of them are stored now
   */
  async #resolve(
    rows: readonly OutboxRow[],
    failures: ReadonlyMap<OutgoingRecord, PublishFailure>,
    moved: Set<string>,
  ): Promise<boolean> {
    const failed = (scope: PublishFailure["scope"]) =>
      rows.filter((row) => failures.get(row)?.scope === scope);
    const errorOf = (row: OutboxRow) => failures.get(row)?.error ?? "";
    const [transient] = failed("transient");
    if (transient !== undefined) throw new Error(errorOf(transient));
    for (const [topic, [row]] of Map.groupBy(failed("topic"), ({ topic }) => topic)) {
      if (row !== undefined) await this.#refuseTopic(topic, errorOf(row), moved);
    }
    for (const [topic, [row]] of Map.groupBy(failed("held"), ({ topic }) => topic)) {
      if (row !== undefined) await this.#refuseTopic(topic, errorOf(row), moved, Number.POSITIVE_INFINITY);
    }
    // Their topics are not to be sent from these rows: an earlier record of the same key may have failed.
    for (const { topic } of failed("unsent")) moved.add(topic);
    const refused = failed("record");
    const [first] = refused;
    if (first === undefined) return false;
    if (refused.length === 1) {
      await this.#park(first, errorOf(first), moved);
      return false;
    }
    const half = Math.ceil(refused.length / 2);
    const halves = [refused.slice(0, half), refused.slice(half)];
    let areStored = refused.length === failures.size;
    for (const rest of halves) areStored = (await this.#send(rest, moved)) && areStored;
    // With one that is refused alone, nothing is known of how much is too large.
    if (areStored) this.#accepted(halves);
    return areStored;
  }

  /** A topic was refused: from now on its records wait, or they are parked because they have waited long enough. */
  async #refuseTopic(
    topic: string,
    error: string,
    moved: Set<string>,
    patienceMs: number = TOPIC_PATIENCE_MS,
  ): Promise<void> {
    const now = this.#runtime.monotonic();
    const { sinceMs, failures } = this.#refusedTopics.get(topic) ?? { sinceMs: now, failures: 0 };
    if (failures === 0) {
      this.#log.warn({ topic, error }, "a topic cannot be written, its messages wait in the outbox");
    }
    if (now - sinceMs >= patienceMs && !this.#parked.isFull()) {
      await this.#unitOfWork.run((transaction) => {
        this.#deleteAll(this.#acknowledged);
        this.#outbox.parkTopic(topic, error, transaction.now);
      });
      this.#refusedTopics.delete(topic);
      moved.add(topic);
      this.#log.error({ topic, error }, "the broker refuses a topic, its messages are parked");
      return;
    }
    const delayMs = backoffMs(TOPIC_BACKOFF, failures + 1, () => this.#runtime.random());
    this.#refusedTopics.set(topic, { sinceMs, untilMs: now + delayMs, failures: failures + 1, error });
  }

  async #park(row: OutboxRow, error: string, moved: Set<string>): Promise<void> {
    if (this.#parked.isFull()) {
      await this.#refuseTopic(row.topic, `no more records can be parked: ${error}`, moved);
      return;
    }
    await this.#unitOfWork.run(({ now }) => {
      this.#deleteAll(this.#acknowledged);
      this.#outbox.park(row, error, now);
    });
    const { topic, key } = row;
    moved.add(keyOf(topic, key ?? ""));
    this.#log.error(
      { topic, key, error },
      "the broker refuses a message, it is parked with the later ones of its key",
    );
  }

  /** Records which of the rows, which are neighbours in the outbox, were stored, and has them deleted. */
  #acknowledge(rows: readonly OutboxRow[], failures: ReadonlyMap<OutgoingRecord, PublishFailure>): void {
    let from: number | undefined;
    let to = 0;
    const end = () => {
      if (from === undefined) return;
      const range = { from, to };
      this.#acknowledged.add(range);
      this.#toDelete.push(range);
      from = undefined;
    };
    for (const row of rows) {
      const { topic, seq } = row;
      if (failures.has(row)) {
        end();
        continue;
      }
      if (seq !== to + 1) end();
      from ??= seq;
      to = seq;
      const refused = this.#refusedTopics.get(topic);
      if (refused === undefined) continue;
      this.#refusedTopics.delete(topic);
      const seconds = Math.round((this.#runtime.monotonic() - refused.sinceMs) / 1000);
      this.#log.info({ topic, failures: refused.failures, seconds }, "the broker takes the topic again");
    }
    end();
    for (const waiting of this.#waiting) if (this.#isAcknowledged(waiting.seq)) waiting.end(true);
    this.#delete();
  }

  /** Not awaited: the deletion commits with the next group. One that fails is repeated with the next one. */
  #delete(): void {
    const ranges = this.#toDelete;
    if (ranges.length === 0) return;
    this.#toDelete = [];
    this.#unitOfWork
      .defer(() => this.#deleteAll(ranges))
      .then(
        () => {
          for (const range of ranges) this.#acknowledged.delete(range);
        },
        (error: unknown) => {
          this.#toDelete.push(...ranges);
          if (isLogged(error)) return;
          this.#log.warn(
            { err: error },
            "sent messages could not be deleted from the outbox, it is tried again",
          );
        },
      );
  }

  #deleteAll(ranges: Iterable<SeqRange>): void {
    for (const range of ranges) this.#outbox.acknowledge(range);
  }

  #reportFailure(error: unknown): void {
    // The fault of the storage, which is no reason to say that the broker is away.
    if (isLogged(error)) return;
    this.#failure = errorText(error);
    const next = `it is tried again at least every ${BACKOFF.mostMs / 1_000} s`;
    const text = `messages cannot be sent, they wait in the outbox: ${this.#failure}; ${next}`;
    this.#sending.failed("", error, {}, text);
  }

  #sleep(): void {
    if (this.#stopped) return;
    if (this.#woken) {
      this.wake();
      return;
    }
    this.#backingOff = this.#failures > 0;
    const delayMs = this.#backingOff
      ? backoffMs(BACKOFF, this.#failures, () => this.#runtime.random())
      : this.#untilNextTopicMs();
    this.#cancelTimer = this.#runtime.after(delayMs, () => {
      this.#backingOff = false;
      this.wake();
    });
  }

  #untilNextTopicMs(): number {
    const now = this.#runtime.monotonic();
    const waits = [...this.#refusedTopics.values()].map(({ untilMs = now }) => Math.max(0, untilMs - now));
    return Math.min(BACKSTOP_MS, ...waits);
  }
}

function keyOf(topic: string, key: string): string {
  return JSON.stringify([topic, key]);
}
