/**
 * The coordinator of all transactions. The state of each transactional id is an entry of the journal:
 *
 *   ongoing → prepared, with the committed offsets in the same line of the journal → markers in the logs → complete
 *
 * A prepared transaction is decided. The start of the broker writes the markers that a crash prevented; a log without an
 * open transaction of the producer needs none. An ongoing transaction ends when its producer ends it, when another
 * producer takes the transactional id, or after its timeout.
 * Source: KIP-98, KIP-360, KIP-890 (the first part: every batch is checked); Apache Kafka's TransactionCoordinator.
 *
 * Difference: EndTxn is answered after the markers are on disk, so that committed records are readable then.
 */
import { ErrorCode, KafkaError } from "./errors.ts";
import type { Committed, PartitionRef } from "./groups/offsets.ts";
import type { GroupCoordinator } from "./groups.ts";
import type { Outcome } from "./log/markers.ts";
import { FailureLog, type Logger, messageOf } from "./logger.ts";
import type { ProducerIds } from "./producer-ids.ts";
import type { Change, Journal } from "./storage/journal.ts";
import type { Topics } from "./topics.ts";
import {
  completed,
  created,
  type Fence,
  fromJson,
  hasPartition,
  mayContinue,
  needsProducerId,
  type PendingOffset,
  type ProducerIdentity,
  prepared,
  preparedOutcome,
  type Transaction,
  type TransactionState,
  toJson,
  withAdded,
  withNextEpoch,
  withOffsets,
  withProducerId,
} from "./transactions/transaction.ts";

interface TransactionOptions {
  readonly maxTransactionTimeoutMs: number;
  /** How long an unused transactional id is kept. */
  readonly transactionalIdExpirationMs: number;
}

interface Parts {
  readonly journal: Journal;
  readonly topics: Topics;
  readonly groups: GroupCoordinator;
  readonly producerIds: ProducerIds;
  readonly logger: Logger;
}

/** The producer that sent a request, as it names itself. */
export interface TransactionalProducer extends ProducerIdentity {
  readonly transactionalId: string;
}

const PREFIX = "transaction/";
/** The pause before what could not be written is tried again. */
const RETRY_MS = 500;
/** The longest delay of a timer. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export class TransactionCoordinator {
  readonly #transactions = new Map<string, Transaction>();
  /** The transactional ids whose next state is being written, with that state. */
  readonly #changing = new Map<string, TransactionState>();
  /** One for each transactional id: for the timeout of its transaction, for its markers, or for its expiration. */
  readonly #timers = new Map<string, Timer>();
  /** What timers started and has not ended. */
  readonly #timerRuns = new Set<Promise<void>>();
  #closed = false;

  readonly #failures = new Map<string, FailureLog>();

  constructor(
    private readonly parts: Parts,
    private readonly options: TransactionOptions,
  ) {
    for (const [key, value] of parts.journal.entries(PREFIX)) {
      this.#transactions.set(key.slice(PREFIX.length), fromJson(value));
    }
  }

  /** Logs what holds a transaction up. */
  #failing(id: string): FailureLog {
    const failures = this.#failures.get(id) ?? new FailureLog(this.parts.logger);
    this.#failures.set(id, failures);
    return failures;
  }

  /** Completes the transactions that were prepared before the last stop. Call once, before clients connect. */
  async recover(): Promise<void> {
    const ids = [...this.#transactions.keys()];
    await Promise.all(ids.map((id) => this.#exclusively(id, "Empty", () => this.#complete(id))));
  }

  /**
   * Makes the caller the only producer of the transactional id, with a new epoch.
   * @param expected the identity of the producer, if it had one.
   * @throws KafkaError CONCURRENT_TRANSACTIONS, also after it aborted the transaction of the previous producer:
   * the caller tries again. PRODUCER_FENCED: `expected` is no longer the current producer.
   */
  async initialize(
    transactionalId: string,
    timeoutMs: number,
    expected: ProducerIdentity | undefined,
  ): Promise<ProducerIdentity> {
    if (transactionalId === "") throw new KafkaError(ErrorCode.INVALID_REQUEST);
    if (timeoutMs <= 0 || timeoutMs > this.options.maxTransactionTimeoutMs) {
      throw new KafkaError(ErrorCode.INVALID_TRANSACTION_TIMEOUT);
    }
    const known = this.#transactions.get(transactionalId);
    this.#checkNotChanging(transactionalId);
    if (known && expected && !mayContinue(known, expected)) throw new KafkaError(ErrorCode.PRODUCER_FENCED);
    if (known?.state === "Ongoing") {
      await this.#end(transactionalId, known, "abort", { byProducer: expected?.epoch === known.epoch });
      throw new KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS);
    }
    return this.#exclusively(transactionalId, "Empty", async () => {
      const next = await this.#initialized(known, timeoutMs, expected);
      await this.#write(transactionalId, next);
      return { producerId: next.producerId, epoch: next.epoch };
    });
  }

  /** Adds partitions and groups to the transaction of the producer, durably; the first ones begin it. @throws KafkaError */
  async add(
    producer: TransactionalProducer,
    added: { readonly partitions: readonly PartitionRef[]; readonly groups: readonly string[] },
  ): Promise<void> {
    const { transactionalId } = producer;
    const transaction = this.#find(producer);
    this.#checkNotChanging(transactionalId);
    const isKnown =
      transaction.state === "Ongoing" &&
      added.partitions.every((partition) => hasPartition(transaction, partition)) &&
      added.groups.every((group) => transaction.groups.includes(group));
    if (isKnown) return;
    const next = withAdded(transaction, added, Date.now());
    await this.#exclusively(transactionalId, "Ongoing", () => this.#write(transactionalId, next));
  }

  /** Stores offsets that are committed with the transaction, durably. @throws KafkaError */
  async addOffsets(
    producer: TransactionalProducer,
    group: string,
    commits: readonly (PartitionRef & Committed)[],
  ): Promise<void> {
    const { transactionalId } = producer;
    const transaction = this.#ongoing(producer, ({ groups }) => groups.includes(group));
    this.#checkNotChanging(transactionalId);
    const offsets = commits.map(({ topic, partition, offset, leaderEpoch, metadata }): PendingOffset => {
      const { id: topicId } = this.parts.topics.resolve({ name: topic, id: null });
      return { group, topic, topicId, partition, offset, leaderEpoch, metadata };
    });
    if (offsets.length === 0) return;
    const next = withOffsets(transaction, offsets, Date.now());
    await this.#exclusively(transactionalId, "Ongoing", () => this.#write(transactionalId, next));
  }

  /**
   * Whether a transactional batch may be appended to the partition now.
   * @throws KafkaError TRANSACTION_ABORTABLE when the partition is not in the transaction, among others
   */
  checkBatch(producer: TransactionalProducer, partition: PartitionRef): void {
    this.#ongoing(producer, (transaction) => hasPartition(transaction, partition));
  }

  /** Ends the transaction of the producer. Resolves when the outcome is durable; a repeated call has no effect. @throws KafkaError */
  async end(producer: TransactionalProducer, outcome: Outcome): Promise<void> {
    const { transactionalId } = producer;
    const transaction = this.#find(producer);
    if (this.#changing.has(transactionalId)) throw new KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS);
    const { state } = transaction;
    if (state === "Ongoing") return this.#end(transactionalId, transaction, outcome);
    if (preparedOutcome(state) === outcome) throw new KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS);
    const isRepeated = state === (outcome === "commit" ? "CompleteCommit" : "CompleteAbort");
    if (!isRepeated) throw new KafkaError(ErrorCode.INVALID_TXN_STATE);
  }

  /** The partitions for which a transaction that is not decided has offsets of the group. */
  pendingOffsets(group: string): PartitionRef[] {
    const all = [...this.#transactions.values()].flatMap(({ offsets }) => offsets);
    return all.filter((offset) => offset.group === group);
  }

  find(transactionalId: string): Transaction | undefined {
    return this.#transactions.get(transactionalId);
  }

  all(): Iterable<[transactionalId: string, transaction: Transaction]> {
    return this.#transactions;
  }

  /** Stops all timers, and resolves when what they started has ended. The next start continues the transactions. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#timerRuns);
  }

  async #initialized(
    known: Transaction | undefined,
    timeoutMs: number,
    expected: ProducerIdentity | undefined,
  ): Promise<Transaction> {
    const now = Date.now();
    const { producerIds } = this.parts;
    if (!known) return created(await producerIds.next(), timeoutMs, now);
    const next = needsProducerId(known, expected)
      ? withProducerId(known, await producerIds.next(), expected)
      : withNextEpoch(known, expected);
    return { ...next, timeoutMs, updatedAt: now };
  }

  async #end(id: string, transaction: Transaction, outcome: Outcome, fence?: Fence): Promise<void> {
    const next = prepared(transaction, outcome, fence, Date.now());
    const commits = outcome === "commit" ? this.#commits(transaction) : [];
    await this.#exclusively(id, next.state, async () => {
      await this.#write(id, next, commits);
      await this.#complete(id);
    });
  }

  /** The changes that commit the offsets of the transaction. */
  #commits({ offsets }: Transaction): Change[] {
    const { groups, topics } = this.parts;
    const valid = offsets.filter(
      ({ topic, topicId }) => topics.find({ name: topic, id: null })?.id === topicId,
    );
    return [...Map.groupBy(valid, ({ group }) => group)].flatMap(([group, commits]) =>
      groups.offsets.changes(group, groups.describe(group)?.protocolType ?? "", commits),
    );
  }

  /** Writes the markers of a prepared transaction. A failure delays it; the outcome is decided. */
  async #complete(id: string): Promise<void> {
    const transaction = this.#transactions.get(id);
    const outcome = preparedOutcome(transaction?.state);
    if (!transaction || !outcome) return;
    try {
      await this.#writeMarkers(transaction, outcome);
      // Not written: after a restart this step finds no open transaction, and has the same result.
      this.#transactions.set(id, completed(transaction, outcome));
      this.#failures.get(id)?.over("a transaction that was held up is ended", { transaction: id });
      this.#failures.delete(id);
    } catch (error) {
      this.#failing(id).failed("warn", "markers are not written", {
        transaction: id,
        error: messageOf(error),
      });
    }
  }

  async #writeMarkers({ partitions, producerId, epoch }: Transaction, outcome: Outcome): Promise<void> {
    const results = await Promise.allSettled(
      partitions.map(async ({ topic, partition }) => {
        const log = this.parts.topics.find({ name: topic, id: null })?.partitions[partition];
        // A deleted topic needs no marker; a log that closes with the broker gets it at the next start.
        if (log && !log.isClosed) await log.endTransaction({ producerId, epoch, outcome });
      }),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #find({ transactionalId, producerId, epoch }: TransactionalProducer): Transaction {
    if (transactionalId === "") throw new KafkaError(ErrorCode.INVALID_REQUEST);
    const transaction = this.#transactions.get(transactionalId);
    if (transaction?.producerId !== producerId) throw new KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    if (transaction.epoch !== epoch) throw new KafkaError(ErrorCode.PRODUCER_FENCED);
    return transaction;
  }

  /** The open transaction of the producer. @throws KafkaError TRANSACTION_ABORTABLE when it does not include what it must */
  #ongoing(producer: TransactionalProducer, includes: (transaction: Transaction) => boolean): Transaction {
    const transaction = this.#find(producer);
    // Adding more to it does not concern what it has.
    const isEnding = preparedOutcome(this.#changing.get(producer.transactionalId)) !== undefined;
    if (isEnding || preparedOutcome(transaction.state)) {
      throw new KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS);
    }
    if (transaction.state !== "Ongoing" || !includes(transaction)) {
      throw new KafkaError(ErrorCode.TRANSACTION_ABORTABLE, "not part of the transaction");
    }
    return transaction;
  }

  /** @throws KafkaError CONCURRENT_TRANSACTIONS while its state changes, or its markers are missing */
  #checkNotChanging(id: string): void {
    if (this.#changing.has(id) || preparedOutcome(this.#transactions.get(id)?.state)) {
      throw new KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS);
    }
  }

  /** Runs a change of the state, and no other one meanwhile. */
  async #exclusively<T>(id: string, next: TransactionState, change: () => Promise<T>): Promise<T> {
    this.#changing.set(id, next);
    try {
      return await change();
    } finally {
      this.#changing.delete(id);
      this.#setTimer(id);
    }
  }

  /** @throws KafkaError COORDINATOR_NOT_AVAILABLE, which clients retry, when it could not be stored */
  async #write(id: string, transaction: Transaction, also: readonly Change[] = []): Promise<void> {
    try {
      await this.parts.journal.write([[PREFIX + id, toJson(transaction)], ...also]);
    } catch (error) {
      throw new KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, messageOf(error));
    }
    this.#transactions.set(id, transaction);
  }

  /** @param pauseMs at least so long from now */
  #setTimer(id: string, pauseMs = 0): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    const transaction = this.#transactions.get(id);
    if (!transaction || this.#closed) return;
    const now = Date.now();
    const { state, startedAt, timeoutMs, updatedAt } = transaction;
    let at = updatedAt + this.options.transactionalIdExpirationMs;
    if (state === "Ongoing") at = startedAt + timeoutMs;
    else if (preparedOutcome(state)) at = now + RETRY_MS;
    const run = () => {
      const done = this.#onTimer(id, at).catch((error: unknown) => {
        this.#failing(id).failed("warn", "a transaction is not ended", {
          transaction: id,
          error: messageOf(error),
        });
        // It is due, and would be tried again at once, for as long as the disk is full.
        this.#setTimer(id, RETRY_MS);
      });
      this.#timerRuns.add(done);
      void done.then(() => this.#timerRuns.delete(done));
    };
    this.#timers.set(id, setTimeout(run, Math.min(Math.max(pauseMs, at - now), MAX_DELAY_MS)));
  }

  async #onTimer(id: string, at: number): Promise<void> {
    const transaction = this.#transactions.get(id);
    // A change that is under way sets the timer when it ends.
    if (!transaction || this.#changing.has(id)) return;
    if (Date.now() < at) return this.#setTimer(id);
    if (transaction.state === "Ongoing") {
      this.parts.logger.info("a transaction is aborted after its timeout", { transaction: id });
      return this.#end(id, transaction, "abort", { byProducer: false });
    }
    const { state } = transaction;
    if (preparedOutcome(state)) return this.#exclusively(id, state, () => this.#complete(id));
    await this.#exclusively(id, state, async () => {
      await this.parts.journal.write([[PREFIX + id, null]]);
      this.#transactions.delete(id);
      this.#failures.delete(id);
    });
  }
}
