import type { DeadLetterStore, Failure } from "../dead-letters/store.ts";
import { DeadLettersFull, isLogged, StorageError } from "../errors.ts";
import type { MessageOutcome, Observed } from "../observer.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Tracing } from "../tracing.ts";
import {
  type Batch,
  type IncomingRecord,
  type Progress,
  type Subscriber,
  type Subscription,
  topicPartition,
  type UndecodableBatch,
} from "../transport/transport.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import type { CrashGuard } from "./crash-guard.ts";
import { type Attempt, type Decision, decide, type RetryPolicy } from "./decision.ts";
import { type Horizon, type OlderMessages, ReadingProgress } from "./horizon.ts";
import { type Handled, type Inbox, Unverifiable } from "./inbox.ts";
import { Lag, type TopicLag } from "./lag.ts";
import { LogIdentity, type Offsets } from "./offsets.ts";
import type { PartitionStops } from "./partition-stops.ts";

/** Since the start of the process. */
interface ConsumerCounts {
  handled: number;
  /** Handled before: nothing happened this time. */
  duplicate: number;
  /** Of a known type that has no handler here, or the tombstone of a compacted topic. */
  skipped: number;
  parked: number;
  retried: number;
  /** Records that retention removed before they were read. */
  lost: number;
}

/** What happens where retention removed records before they were read: an operator decides, or reading goes on. */
export type GapPolicy = "stop" | "continue";

/** How soon a stopped partition is looked at again: as soon after an operator's decision it is read. */
const STOPPED_PAUSE_MS = 1_000;

interface ConsumerOptions {
  /** The consumer group. */
  readonly name: string;
  readonly subscriber: Subscriber;
  readonly unitOfWork: UnitOfWork;
  readonly inbox: Inbox;
  readonly offsets: Offsets;
  readonly deadLetters: DeadLetterStore;
  readonly partitionStops: PartitionStops;
  readonly crashGuard: CrashGuard;
  readonly horizon: Horizon;
  /** Whether a topic is compacted: then records are missing from its logs as a rule. */
  isCompacted(topic: string): boolean;
  readonly gaps: GapPolicy;
  readonly fetchIntervalMs: number;
  readonly retry: RetryPolicy;
  readonly observed: Observed;
  readonly runtime: Runtime;
  readonly log: Logger;
  readonly tracing: Tracing | undefined;
}

/**
 * Takes batches from the broker into units of work. Effect, claim, offset, emitted messages and dead letter commit
 * together, so a process that ends between two commits leaves a consistent state to the next one.
 */
export class Consumer {
  readonly counts: ConsumerCounts = { handled: 0, duplicate: 0, skipped: 0, parked: 0, retried: 0, lost: 0 };
  readonly #options: ConsumerOptions;
  readonly #logIdentity: LogIdentity;
  /** Partitions whose first batch of new records has been handled. Only that one is handled record by record after a crash. */
  readonly #pastFirstBatch = new Set<string>();
  /** The message that each partition waits for, and how often it has been tried. */
  readonly #failing = new Map<string, { offset: number; tries: number }>();
  readonly #progress: ReadingProgress;
  readonly #lag = new Lag();
  /** What was handled of each partition when it was assigned. */
  readonly #assignedAt = new Map<string, number>();
  readonly #waits: RepeatedFailure;
  /** Batches that are being handled. */
  readonly #handling = new Set<Promise<Progress>>();
  #subscription: Subscription | undefined;
  #stopped = false;
  #left: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { offsets, unitOfWork, log, crashGuard, partitionStops, horizon } = options;
    this.#logIdentity = new LogIdentity({
      offsets,
      unitOfWork,
      log,
      onNewLog: (topic, partition, end, transaction) => {
        crashGuard.reset(topic, partition);
        partitionStops.logReplaced(topic, partition, transaction);
        horizon.beginReread(topic, partition, end, "ask");
      },
    });
    this.#progress = new ReadingProgress(options.runtime);
    this.#waits = new RepeatedFailure(options.runtime, log);
    partitionStops.onDecision("unverifiable", ({ topic, partition }, action) => {
      if (action === "skip-older") horizon.decide(topic, partition, "skip");
      if (action === "handle-older") horizon.decide(topic, partition, "handle");
      if (action === "park-older") horizon.endReread(topic, partition);
    });
  }

  start(): void {
    const { subscriber, name, inbox, fetchIntervalMs, runtime } = this.#options;
    this.#subscription ??= subscriber.subscribe({
      group: name,
      topics: inbox.topics,
      startAt: (topic, partition) => {
        this.#progress.assigned(topicPartition(topic, partition));
        this.#assignedAt.set(
          topicPartition(topic, partition),
          this.#options.offsets.get(topic, partition)?.next ?? 0,
        );
        const start = this.#logIdentity.startAt(topic, partition);
        this.#lag.assigned(topic, partition, start === undefined ? 0 : start + 1);
        return start;
      },
      caughtUp: (topic, partition) => this.#lag.caughtUp(topic, partition),
      committed: (topic, partition, offset) => this.#compare(topic, partition, offset),
      rereadsLast: true,
      fetchIntervalMs,
      handle: async (batch) => {
        this.#lag.fetched(batch, runtime.now());
        const progress = await this.#whileRunning(batch);
        this.#lag.handled(batch, progress.next, runtime.now());
        this.#follow(batch, progress);
        return progress;
      },
    });
  }

  /** Up to which time all messages have been handled; undefined when it is not known. */
  readUpTo(now: number): number | undefined {
    return this.healthy() ? this.#progress.readUpTo(now) : undefined;
  }

  /** How far it is behind, by topic, for the topics of which something was fetched. */
  lag(): ReadonlyMap<string, TopicLag> {
    return this.#lag.byTopic(this.#options.runtime.now());
  }

  /** Whether each partition has been read to its end at some time since the start. */
  hasCaughtUp(): boolean {
    return this.#lag.hasCaughtUp();
  }

  /** Why nothing is read, in words; undefined when that works, or has not failed yet. */
  failure(): string | undefined {
    return this.#subscription?.failure?.();
  }

  /**
   * Compares what the database says was handled with what the broker was told. Offsets are committed to the broker after
   * they are stored, so a later one there means that the database is an older copy of itself, or an empty one.
   */
  #compare(topic: string, partition: number, committed: number): void {
    const next = this.#assignedAt.get(topicPartition(topic, partition)) ?? 0;
    if (next >= committed || this.#stopped) return;
    const { unitOfWork, partitionStops, log } = this.#options;
    unitOfWork
      .run((transaction) => partitionStops.foundOlder({ topic, partition, next, committed }, transaction))
      .catch((error: unknown) => {
        if (!isLogged(error)) log.warn({ err: error }, "that the database is older was not recorded");
      });
  }

  #follow(batch: Batch, { next }: Progress): void {
    const name = topicPartition(batch.topic, batch.partition);
    if (next >= batch.end) {
      this.#progress.caughtUp(name);
      return;
    }
    const first = batch.records.find(({ offset }) => offset >= next) ?? batch.records.at(-1);
    this.#progress.behind(name, first === undefined ? undefined : this.#options.inbox.timeOf(first));
  }

  /** Resolves when no message is being handled any more: the rest of a batch is left to the next process. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#left ??= this.#subscription?.stop();
    await Promise.allSettled(this.#handling);
  }

  /** After `stop`: resolves when it has left its group, which may take as long as the broker does. */
  async left(): Promise<void> {
    await this.#left;
    this.#subscription = undefined;
  }

  healthy(): boolean {
    return this.#subscription?.healthy() ?? false;
  }

  async #whileRunning(batch: Batch): Promise<Progress> {
    if (this.#stopped) {
      return { next: batch.records[0]?.offset ?? batch.undecodable?.offset ?? batch.start };
    }
    const handling = this.#handle(batch);
    this.#handling.add(handling);
    return handling.finally(() => this.#handling.delete(handling));
  }

  async #handle(batch: Batch): Promise<Progress> {
    const elsewhere = (await this.#logIdentity.check(batch)) ?? (await this.#whereStopped(batch));
    if (elsewhere !== undefined) return elsewhere;
    const { topic, partition } = batch;
    const { offsets, crashGuard, unitOfWork, partitionStops, runtime } = this.#options;
    const receivedAtMs = runtime.now();
    const name = topicPartition(topic, partition);
    const oneByOne = crashGuard.afterCrash && !this.#pastFirstBatch.has(name);
    // Handled records may be delivered again, if only the one by which the log is identified.
    const from = offsets.get(topic, partition)?.next ?? 0;
    let left = batch.records.filter(({ offset }) => offset >= from);
    let limit = Number.POSITIVE_INFINITY;
    /** Why the first of `left` is to be parked: that commits with the records after it. */
    let failure: Failure | undefined;
    let failedAfterMs = 0;
    for (let first = left[0]; first !== undefined; first = left[0]) {
      if (this.#stopped) return { next: first.offset };
      const records = left.slice(0, oneByOne ? 1 : limit);
      const step: Step = { first, records, receivedAtMs, end: batch.end, failure, failedAfterMs, taken: 0 };
      try {
        if (oneByOne) step.failure ??= await this.#begin(first);
        left = left.slice(await unitOfWork.run((transaction) => this.#take(step, transaction)));
        limit = Number.POSITIVE_INFINITY;
        failure = undefined;
      } catch (error) {
        if (step.taken > 0 && !(error instanceof StorageError)) {
          // The records before the one that failed come first, in a unit of work of their own.
          limit = step.taken;
          continue;
        }
        failedAfterMs = step.failedAfterMs;
        if (error instanceof Unverifiable) return this.#stop(first, "unverifiable", error);
        const decision = this.#failed(name, first, error, failedAfterMs);
        if (error instanceof DeadLettersFull) return this.#stop(first, "dead-letters-full", error);
        if (decision.action === "retry" || decision.action === "wait") {
          return { next: first.offset, pauseMs: decision.delayMs };
        }
        // It cannot be parked either: the transport delivers the batch again, later.
        if (decision.action !== "park" || step.failure !== undefined) throw error;
        failure = decision.failure;
      }
    }
    // A batch with nothing but handled records, such as the one that identifies the log, is not the first one.
    if (batch.records.some(({ offset }) => offset >= from)) this.#pastFirstBatch.add(name);
    this.#failing.delete(name);
    this.#waits.over(name, { topic, partition }, "a partition goes on");
    const stop = partitionStops.get(topic, partition);
    if (stop !== undefined) await unitOfWork.run((transaction) => partitionStops.wentOn(stop, transaction));
    if (batch.undecodable !== undefined) return this.#passUndecodable(batch, batch.undecodable);
    return { next: (batch.records.at(-1)?.offset ?? batch.start - 1) + 1 };
  }

  /** @returns where the partition waits if it is stopped, or has to be because records were removed unread */
  async #whereStopped(batch: Batch): Promise<Progress | undefined> {
    const { partitionStops, offsets, unitOfWork, isCompacted, gaps } = this.#options;
    const { topic, partition, start } = batch;
    const stop = partitionStops.get(topic, partition);
    if (stop !== undefined && stop.reason !== "dead-letters-full")
      return { next: stop.offset, pauseMs: STOPPED_PAUSE_MS };
    const next = offsets.get(topic, partition)?.next;
    if (next === undefined || next >= start || isCompacted(topic)) return undefined;
    const error = `retention removed ${start - next} records, from offset ${next}, before they were read`;
    const gap = {
      topic,
      partition,
      reason: "gap",
      error,
      offset: next,
      nextOffset: start,
      bytes: null,
    } as const;
    await unitOfWork.run((transaction) => {
      if (gaps === "stop") partitionStops.stop(gap, transaction);
      else partitionStops.pass(gap, "reading goes on after a gap, by configuration", transaction);
      transaction.afterCommit(() => {
        this.counts.lost += start - next;
      });
    });
    return gaps === "stop" ? { next, pauseMs: STOPPED_PAUSE_MS } : undefined;
  }

  /** Stops the partition at records that cannot be decoded, unless an operator had them skipped. */
  async #passUndecodable({ topic, partition }: Batch, found: UndecodableBatch): Promise<Progress> {
    const { partitionStops, offsets, unitOfWork } = this.#options;
    const nextOffset = found.lastOffset + 1;
    const from = offsets.get(topic, partition)?.next ?? 0;
    if (from >= nextOffset) return { next: nextOffset };
    const offset = Math.max(found.offset, from);
    const { cause, bytes } = found;
    const error = `records ${found.offset} to ${found.lastOffset} cannot be decoded: ${cause}`;
    await unitOfWork.run((transaction) =>
      partitionStops.stop(
        { topic, partition, reason: "undecodable-batch", error, offset, nextOffset, bytes },
        transaction,
      ),
    );
    return { next: offset, pauseMs: STOPPED_PAUSE_MS };
  }

  /** Stops a partition at a message that can be neither handled nor parked. */
  async #stop(
    { topic, partition, offset }: IncomingRecord,
    reason: "unverifiable" | "dead-letters-full",
    error: Error,
  ): Promise<Progress> {
    const { partitionStops, unitOfWork } = this.#options;
    const stop = { topic, partition, offset, nextOffset: offset, bytes: null, error: error.message };
    await unitOfWork.run((transaction) => partitionStops.stop({ ...stop, reason }, transaction));
    return { next: offset, pauseMs: STOPPED_PAUSE_MS };
  }

  /** Records that a message begins. @returns why it is parked instead, if too many processes ended with it */
  async #begin(record: IncomingRecord): Promise<Failure | undefined> {
    const crashes = await this.#options.crashGuard.begin(record);
    const decision = crashes > 0 ? this.#decide({ status: "crashed", crashes }, crashes) : undefined;
    return decision?.action === "park" ? decision.failure : undefined;
  }

  #failed(name: string, record: IncomingRecord, error: unknown, elapsedMs: number): Decision {
    const { tracing } = this.#options;
    const { offset } = record;
    const before = this.#failing.get(name);
    const tries = before?.offset === offset ? before.tries + 1 : 1;
    const decision = this.#decide({ status: "failed", error }, tries);
    if (decision.action === "wait" && error instanceof StorageError) {
      // Otherwise the unit of work has said so, for all partitions.
      if (!isLogged(error)) {
        this.#waits.failed(name, error, this.#about(record), "nothing can be stored, a partition waits");
      }
    }
    if (decision.action === "retry") {
      this.#observe(record, "failed", elapsedMs);
      this.#failing.set(name, { offset, tries });
      this.counts.retried += 1;
      const { delayMs } = decision;
      const fields = { ...this.#about(record), tries, delayMs };
      this.#waits.failed(name, error, fields, "a message failed, its partition waits");
      tracing?.failed(record, decision.failure.error);
    }
    return decision;
  }

  /** Handles the records of a step until the time of the group is used up. @returns how many it took */
  #take(step: Step, transaction: Transaction): number {
    step.taken = 0;
    const { offsets, crashGuard, horizon, runtime } = this.#options;
    const { topic, partition } = step.first;
    const position = offsets.get(topic, partition);
    const next = position?.next ?? 0;
    // Nothing of a partition without a position was ever handled, unless its log was replaced.
    if (position === undefined) horizon.beginFirstRead(topic, partition, step.end);
    const olderAt = horizon.olderMessages(topic, partition);
    let last: IncomingRecord | undefined;
    const messages: Taken[] = [];
    for (const record of step.records) {
      if (step.taken > 0 && transaction.overBudget()) break;
      if (record.offset >= next) {
        if (step.taken === 0 && step.failure !== undefined) {
          this.#park(record, step.failure, step.failedAfterMs, transaction);
        } else {
          const startedMs = runtime.monotonic();
          try {
            this.#takeOne(record, olderAt(record.offset), startedMs, transaction, step, messages);
          } catch (error) {
            step.failedAfterMs = runtime.monotonic() - startedMs;
            throw error;
          }
        }
        last = record;
      }
      step.taken += 1;
    }
    if (messages.length > 0) transaction.afterCommit(() => this.#count(messages));
    if (last !== undefined) {
      offsets.set(last);
      crashGuard.end(last, transaction);
      horizon.passed(topic, partition, last.offset + 1, transaction);
    }
    return step.taken;
  }

  /** @param taken gets the message, if it needs nothing more */
  #takeOne(
    record: IncomingRecord,
    older: OlderMessages,
    startedMs: number,
    transaction: Transaction,
    step: Step,
    taken: Taken[],
  ): void {
    const { deadLetters, inbox, isCompacted, runtime } = this.#options;
    if (record.value === null && isCompacted(record.topic)) {
      transaction.afterCommit(() => {
        this.counts.skipped += 1;
      });
      return;
    }
    const blocked = deadLetters.blocks(record.topic, record.key);
    const attempt: Attempt = blocked
      ? (inbox.recognise(record, older) ?? { status: "blocked" })
      : inbox.handle(record, transaction, older, step);
    const decision = this.#decide(attempt, blocked ? 0 : 1);
    const elapsedMs = runtime.monotonic() - startedMs;
    if (decision.action === "park") this.#park(record, decision.failure, elapsedMs, transaction);
    if (decision.action === "ack") taken.push({ handled: decision.handled, elapsedMs });
  }

  #count(messages: readonly Taken[]): void {
    const { observer } = this.#options.observed;
    for (const { handled, elapsedMs } of messages) {
      const { status, message } = handled;
      this.counts[status] += 1;
      const { type, id, subject, correlationid } = message;
      observer.processed(type, status, elapsedMs / 1000);
      this.#options.log.debug(
        { status, type, messageId: id, correlationId: correlationid, key: subject },
        "message",
      );
    }
  }

  /** Only where it is no usual message: it is decoded once more. */
  #observe(record: IncomingRecord, outcome: MessageOutcome, elapsedMs: number): void {
    const { inbox, observed } = this.#options;
    observed.observer.processed(inbox.typeOf(record), outcome, elapsedMs / 1000);
  }

  #park(record: IncomingRecord, failure: Failure, elapsedMs: number, transaction: Transaction): void {
    const { deadLetters, log, tracing } = this.#options;
    deadLetters.park(record, failure, transaction);
    transaction.afterCommit(() => {
      this.counts.parked += 1;
      this.#observe(record, "parked", elapsedMs);
      const { reason, error, attempts } = failure;
      this.#waits.forget(topicPartition(record.topic, record.partition));
      log.error({ ...this.#about(record), reason, error, attempts }, "a message is parked as a dead letter");
      tracing?.failed(record, `parked as a dead letter (${reason}): ${error}`);
    });
  }

  /** Where a record is, and the ids of the message in it. */
  #about(record: IncomingRecord) {
    const { topic, partition, offset, key } = record;
    return { topic, partition, offset, key, ...this.#options.inbox.idsOf(record) };
  }

  #decide(attempt: Attempt, tries: number): Decision {
    const { retry, runtime } = this.#options;
    return decide(attempt, tries, retry, () => runtime.random());
  }
}

/** Records that are handled in one unit of work. */
interface Step {
  readonly first: IncomingRecord;
  readonly records: readonly IncomingRecord[];
  /** When they arrived, in milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** The end of the log. */
  readonly end: number;
  /** Why the first of them is parked instead of handled. */
  failure: Failure | undefined;
  /** How long that one ran until it failed. */
  failedAfterMs: number;
  /** How many of them went well in the last run. */
  taken: number;
}

/** A message that needs nothing more, and how long that took. */
interface Taken {
  readonly handled: Handled;
  readonly elapsedMs: number;
}
