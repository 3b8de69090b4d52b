import { decode, type Message, type MessageDefinition } from "@distributed-messaging/contracts";
import type { DeadLetters, Failure } from "./dead-letters.ts";
import { DomainError, StorageError } from "./errors.ts";
import type { Handler } from "./handlers.ts";
import type { Inbox } from "./inbox.ts";
import { fingerprint, type Offsets } from "./offsets.ts";
import { type Backoff, backoffMs, type Log, type Runtime } from "./runtime.ts";
import type { Transaction } from "./transaction.ts";
import type { Batch, IncomingRecord, Progress, Subscriber, Subscription } from "./transport.ts";
import type { UnitOfWork } from "./unit-of-work.ts";

/** How a message that failed is tried again. */
export interface RetryPolicy {
  readonly backoff: Backoff;
  /** Tries, the first included, before the message is parked. */
  readonly attempts: number;
}

export const defaultRetryPolicy: RetryPolicy = { backoff: { firstMs: 100, mostMs: 30_000 }, attempts: 10 };

/** The disk refuses: not the message's fault, so it does not count against it. */
const STORAGE_PAUSE_MS = 1_000;

/** What to do with a message whose handler threw. */
export type Verdict = { readonly retryAfterMs: number } | { readonly park: Failure };

/** Since the start of the process. */
export interface ConsumerCounts {
  handled: number;
  duplicates: number;
  /** Known to the contracts, but of no interest to this service. */
  skipped: number;
  parked: number;
  retried: number;
}

export interface ConsumerOptions {
  /** The consumer group, and the name that claims in the inbox are made under. */
  readonly name: string;
  readonly handlers: readonly Handler[];
  /** Every kind of message there is; one that is not among them is unknown. */
  readonly definitions: readonly MessageDefinition[];
  /** More topics than those of the handlers: read so that nothing undecodable on them goes unnoticed. */
  readonly subscriber: Subscriber;
  readonly unitOfWork: UnitOfWork;
  readonly inbox: Inbox;
  readonly offsets: Offsets;
  readonly deadLetters: DeadLetters;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly retry?: RetryPolicy;
}

/**
 * Brings messages from the broker into units of work. The effect, the inbox claim, the offset and a dead letter
 * commit together, so whatever happens between two commits, the next start finds one consistent state.
 */
export class Consumer {
  readonly counts: ConsumerCounts = { handled: 0, duplicates: 0, skipped: 0, parked: 0, retried: 0 };
  readonly #options: ConsumerOptions;
  readonly #retry: RetryPolicy;
  readonly #known: ReadonlyMap<string, MessageDefinition>;
  readonly #handlers: ReadonlyMap<string, Handler>;
  /** Partitions whose log has been seen to be the one that the stored offset belongs to. */
  readonly #recognised = new Set<string>();
  /** The message that each partition is stuck at, and how often it has failed. */
  readonly #failing = new Map<string, { offset: number; failures: number }>();
  #subscription: Subscription | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#retry = options.retry ?? defaultRetryPolicy;
    this.#known = new Map(options.definitions.map((definition) => [definition.type, definition]));
    this.#handlers = new Map(options.handlers.map((handler) => [handler.definition.type, handler]));
  }

  /** The topics that the handlers' messages travel on. */
  get topics(): string[] {
    return [...new Set(this.#options.handlers.map((handler) => handler.definition.topic.name))];
  }

  start(): void {
    this.#subscription ??= this.#options.subscriber.subscribe({
      group: this.#options.name,
      topics: this.topics,
      startAt: (topic, partition) => this.#startAt(topic, partition),
      handle: (batch) => this.#handle(batch),
    });
  }

  /** Resolves when no message is being handled any more. */
  async stop(): Promise<void> {
    await this.#subscription?.stop();
    this.#subscription = undefined;
  }

  healthy(): boolean {
    return this.#subscription?.healthy() ?? false;
  }

  /** One record early: the last one handled, by which the log is recognised. */
  #startAt(topic: string, partition: number): number | undefined {
    this.#recognised.delete(`${topic}/${partition}`);
    const position = this.#options.offsets.get(topic, partition);
    return position === undefined ? undefined : Math.max(0, position.next - 1);
  }

  async #handle(batch: Batch): Promise<Progress> {
    if (!(await this.#recognise(batch))) return { next: 0 };
    const { records } = batch;
    const partition = `${batch.topic}/${batch.partition}`;
    let done = 0;
    let most = records.length;
    while (done < records.length) {
      const attempt = new Attempt(records.slice(done, done + most));
      try {
        done += await this.#options.unitOfWork.run((transaction) => this.#apply(attempt, transaction));
        most = records.length;
        this.#failing.delete(partition);
      } catch (error) {
        if (error instanceof StorageError) {
          return { next: (records[done] as IncomingRecord).offset, pauseMs: STORAGE_PAUSE_MS };
        }
        if (attempt.passed > 0) {
          // Those before the one that failed are fine: they go first, in a work of their own.
          most = attempt.passed;
          continue;
        }
        const record = attempt.records[0] as IncomingRecord;
        const verdict = this.#judge(partition, record, error);
        if ("retryAfterMs" in verdict) return { next: record.offset, pauseMs: verdict.retryAfterMs };
        await this.#options.unitOfWork.run((transaction) => this.#park(record, verdict.park, transaction));
        this.#failing.delete(partition);
        done += 1;
      }
    }
    return { next: (records.at(-1) as IncomingRecord).offset + 1 };
  }

  /** Handles records until the budget is used up. @returns how many */
  #apply(attempt: Attempt, transaction: Transaction): number {
    attempt.passed = 0;
    const first = attempt.records[0] as IncomingRecord;
    const next = this.#options.offsets.get(first.topic, first.partition)?.next ?? 0;
    for (const record of attempt.records) {
      if (attempt.passed > 0 && transaction.overBudget()) break;
      if (record.offset >= next) this.#applyOne(record, transaction);
      attempt.passed += 1;
    }
    const last = attempt.records[attempt.passed - 1] as IncomingRecord;
    if (last.offset >= next) this.#options.offsets.passed(last);
    return attempt.passed;
  }

  #applyOne(record: IncomingRecord, transaction: Transaction): void {
    const { inbox, name, log } = this.#options;
    const decoded = decode(this.#known, record.value);
    if (decoded.status === "rejected") {
      this.#park(record, { reason: decoded.reason, error: decoded.detail, attempts: 1 }, transaction);
      return;
    }
    const { message } = decoded;
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) {
      transaction.afterCommit(() => this.#count("skipped"));
      return;
    }
    if (!inbox.claim(name, message.id, transaction.now)) {
      transaction.afterCommit(() => this.#count("duplicates"));
      return;
    }
    handler.handle(message, transaction.causedBy(causeOf(message)));
    transaction.afterCommit(() => {
      this.#count("handled");
      log.debug({ type: message.type, id: message.id, key: message.subject }, "message handled");
    });
  }

  /** The one place that decides whether a failed message is tried again. */
  #judge(partition: string, record: IncomingRecord, error: unknown): Verdict {
    const before = this.#failing.get(partition);
    const failures = before?.offset === record.offset ? before.failures + 1 : 1;
    this.#failing.set(partition, { offset: record.offset, failures });
    const what = describe(error);
    if (error instanceof DomainError) return { park: { reason: "domain", ...what, attempts: failures } };
    if (failures >= this.#retry.attempts) {
      return { park: { reason: "retries-exhausted", ...what, attempts: failures } };
    }
    const { runtime, log } = this.#options;
    const retryAfterMs = backoffMs(this.#retry.backoff, failures, () => runtime.random());
    this.#count("retried");
    log.warn(
      { err: error, ...where(record), failures, retryAfterMs },
      "a message failed, its partition waits",
    );
    return { retryAfterMs };
  }

  #park(record: IncomingRecord, failure: Failure, transaction: Transaction): void {
    const { deadLetters, offsets, log } = this.#options;
    deadLetters.park(record, failure, transaction.now);
    offsets.passed(record);
    transaction.afterCommit(() => {
      this.#count("parked");
      log.error(
        { ...where(record), reason: failure.reason, error: failure.error, attempts: failure.attempts },
        "a message could not be handled and is kept as a dead letter",
      );
    });
  }

  /**
   * Whether this is the log that the stored offset was taken from. A topic that was deleted and made anew, or a
   * broker that lost its disk, begins again at 0: to go on at the old offset would skip messages. Then the
   * position is forgotten, and the inbox drops what is read twice.
   */
  async #recognise(batch: Batch): Promise<boolean> {
    const partition = `${batch.topic}/${batch.partition}`;
    if (this.#recognised.has(partition)) return true;
    const { offsets, unitOfWork, log } = this.#options;
    const position = offsets.get(batch.topic, batch.partition);
    const first = batch.records[0];
    const isSame =
      position === undefined ||
      (batch.end >= position.next &&
        (first === undefined ||
          first.offset !== position.next - 1 ||
          position.lastRecord === null ||
          fingerprint(first) === position.lastRecord));
    if (!isSame) {
      log.warn(
        { topic: batch.topic, partition: batch.partition, next: position.next, end: batch.end },
        "the log is not the one that was read before: reading it from the beginning",
      );
      await unitOfWork.run(() => offsets.forget(batch.topic, batch.partition));
    }
    this.#recognised.add(partition);
    return isSame;
  }

  #count(what: keyof ConsumerCounts): void {
    this.counts[what] += 1;
  }
}

/** Records that are handled in one transaction, and how many of them went well before it ended. */
class Attempt {
  passed = 0;
  readonly records: readonly IncomingRecord[];

  constructor(records: readonly IncomingRecord[]) {
    this.records = records;
  }
}

function causeOf(message: Message) {
  return {
    correlationId: message.correlationid,
    causationId: message.id,
    ...(message.traceparent === undefined ? {} : { traceparent: message.traceparent }),
  };
}

function where(record: IncomingRecord) {
  return { topic: record.topic, partition: record.partition, offset: record.offset, key: record.key };
}

function describe(error: unknown): { error: string; stack?: string } {
  if (!(error instanceof Error)) return { error: String(error) };
  return { error: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
}
