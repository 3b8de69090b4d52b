import type { DeadLetterStore, Failure } from "../dead-letters/store.ts";
import { DeadLettersFull, StorageError } from "../errors.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Transaction } from "../transaction.ts";
import {
  type Batch,
  type IncomingRecord,
  type Progress,
  type Subscriber,
  type Subscription,
  topicPartition,
} from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import { type CrashGuard, MAX_CRASHES } from "./crash-guard.ts";
import { LogRecognition } from "./log-identity.ts";
import type { Offsets } from "./offsets.ts";
import type { Processor } from "./processor.ts";
import { defaultRetryPolicy, judge, type RetryPolicy } from "./retry.ts";

/** There is no room, on the disk or among the dead letters: not the message's fault. */
const STORAGE_PAUSE_MS = 1_000;

/** Since the start of the process. */
export interface ConsumerCounts {
  handled: number;
  /** Handled before: nothing happened this time. */
  duplicate: number;
  /** Known to the contracts, but of no interest to this service. */
  skipped: number;
  parked: number;
  retried: number;
}

export interface ConsumerOptions {
  /** The consumer group. */
  readonly name: string;
  readonly processor: Processor;
  readonly subscriber: Subscriber;
  readonly unitOfWork: UnitOfWork;
  readonly offsets: Offsets;
  readonly deadLetters: DeadLetterStore;
  readonly attempts: CrashGuard;
  readonly runtime: Runtime;
  readonly log: Logger;
  readonly retry?: RetryPolicy;
}

/**
 * Brings messages from the broker into units of work. The effect, the inbox claim, the offset and a dead letter
 * commit together, so whatever happens between two commits, the next start finds one consistent state.
 */
export class Consumer {
  readonly counts: ConsumerCounts = { handled: 0, duplicate: 0, skipped: 0, parked: 0, retried: 0 };
  readonly #options: ConsumerOptions;
  readonly #retry: RetryPolicy;
  readonly #logs: LogRecognition;
  /** Partitions that are past the messages which the last process may have died with. */
  readonly #trusted = new Set<string>();
  /** The message that each partition is stuck at, and how often it has failed. */
  readonly #failing = new Map<string, { offset: number; failures: number }>();
  #subscription: Subscription | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#retry = options.retry ?? defaultRetryPolicy;
    this.#logs = new LogRecognition(options);
  }

  start(): void {
    this.#subscription ??= this.#options.subscriber.subscribe({
      group: this.#options.name,
      topics: this.#options.processor.topics,
      startAt: (topic, partition) => this.#logs.startAt(topic, partition),
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

  async #handle(batch: Batch): Promise<Progress> {
    const elsewhere = await this.#logs.recognise(batch);
    if (elsewhere !== undefined) return elsewhere;
    const name = topicPartition(batch.topic, batch.partition);
    const oneByOne = this.#options.attempts.afterCrash && !this.#trusted.has(name);
    // What has been handled may come again, if only the one record by which the log is recognised.
    const from = this.#options.offsets.get(batch.topic, batch.partition)?.next ?? 0;
    let left = batch.records.filter(({ offset }) => offset >= from);
    let most = oneByOne ? 1 : left.length;
    while (left.length > 0) {
      const step = new Step(left.slice(0, most));
      try {
        if (oneByOne) await this.#beginAlone(step.first);
        left = left.slice(await this.#options.unitOfWork.run((transaction) => this.#take(step, transaction)));
        most = oneByOne ? 1 : left.length;
      } catch (error) {
        if (error instanceof StorageError || error instanceof DeadLettersFull) {
          this.#options.log.warn(
            { topic: batch.topic, partition: batch.partition, error: String(error) },
            "no room",
          );
          return { next: step.first.offset, pauseMs: STORAGE_PAUSE_MS };
        }
        // Those before the one that failed are fine: they go first, in a unit of work of their own.
        if (step.passed > 0) most = step.passed;
        else {
          const pauseMs = await this.#failed(name, step.first, error);
          if (pauseMs !== undefined) return { next: step.first.offset, pauseMs };
          left = left.slice(1);
          most = oneByOne ? 1 : left.length;
        }
      }
    }
    this.#trusted.add(name);
    this.#failing.delete(name);
    return { next: (batch.records.at(-1) as IncomingRecord).offset + 1 };
  }

  /** Handles records until the budget is used up. @returns how many */
  #take(step: Step, transaction: Transaction): number {
    step.passed = 0;
    const { offsets, attempts } = this.#options;
    const { topic, partition } = step.first;
    const next = offsets.get(topic, partition)?.next ?? 0;
    let last: IncomingRecord | undefined;
    for (const record of step.records) {
      if (step.passed > 0 && transaction.overBudget()) break;
      if (record.offset >= next) {
        this.#takeOne(record, transaction);
        last = record;
      }
      step.passed += 1;
    }
    if (last !== undefined) {
      offsets.passed(last);
      if (attempts.afterCrash) attempts.end(last);
    }
    return step.passed;
  }

  #takeOne(record: IncomingRecord, transaction: Transaction): void {
    const { deadLetters, processor, log } = this.#options;
    if (deadLetters.holds(record.topic, record.key)) {
      this.#park(
        record,
        { reason: "blocked", error: "an earlier message of its key is parked", attempts: 0 },
        transaction,
      );
      return;
    }
    const outcome = processor.process(record.value, transaction);
    if (outcome.status === "rejected") {
      this.#park(record, { reason: outcome.reason, error: outcome.detail, attempts: 1 }, transaction);
      return;
    }
    const { status, message } = outcome;
    transaction.afterCommit(() => {
      this.counts[status] += 1;
      log.debug({ status, type: message.type, id: message.id, key: message.subject }, "message");
    });
  }

  /** @returns for how long the partition is to wait before the message is tried again; undefined: it is parked */
  async #failed(name: string, record: IncomingRecord, error: unknown): Promise<number | undefined> {
    const { unitOfWork, runtime, log } = this.#options;
    const before = this.#failing.get(name);
    const failures = before?.offset === record.offset ? before.failures + 1 : 1;
    this.#failing.set(name, { offset: record.offset, failures });
    const verdict = judge(error, failures, this.#retry, () => runtime.random());
    if ("retryAfterMs" in verdict) {
      this.counts.retried += 1;
      log.warn(
        { err: error, ...where(record), failures, ...verdict },
        "a message failed, its partition waits",
      );
      return verdict.retryAfterMs;
    }
    await unitOfWork.run((transaction) => this.#parkAlone(record, verdict.park, transaction));
    return undefined;
  }

  /** Writes down that a message begins, or parks it when too many processes have died with it. */
  async #beginAlone(record: IncomingRecord): Promise<void> {
    const { attempts, unitOfWork } = this.#options;
    const crashes = attempts.crashes(record);
    if (crashes < MAX_CRASHES) {
      await unitOfWork.run(() => attempts.begin(record));
      return;
    }
    const error = `it took the process down with it ${crashes} times`;
    await unitOfWork.run((transaction) =>
      this.#parkAlone(record, { reason: "crash", error, attempts: crashes }, transaction),
    );
  }

  #parkAlone(record: IncomingRecord, failure: Failure, transaction: Transaction): void {
    const { offsets, attempts } = this.#options;
    this.#park(record, failure, transaction);
    offsets.passed(record);
    attempts.end(record);
  }

  #park(record: IncomingRecord, failure: Failure, transaction: Transaction): void {
    const { deadLetters, log } = this.#options;
    deadLetters.park(record, failure, transaction);
    transaction.afterCommit(() => {
      this.counts.parked += 1;
      const { reason, error, attempts } = failure;
      log.error({ ...where(record), reason, error, attempts }, "a message is parked as a dead letter");
    });
  }
}

/** Records that are handled in one transaction, and how many of them went well before it ended. */
class Step {
  passed = 0;
  readonly records: readonly IncomingRecord[];

  constructor(records: readonly IncomingRecord[]) {
    this.records = records;
  }

  get first(): IncomingRecord {
    return this.records[0] as IncomingRecord;
  }
}

function where(record: IncomingRecord) {
  return { topic: record.topic, partition: record.partition, offset: record.offset, key: record.key };
}
