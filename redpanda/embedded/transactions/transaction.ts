/**
 * The state of a transactional id, its changes, and its form in the journal.
 * Source: KIP-98 and KIP-360; Apache Kafka's TransactionMetadata.
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { Committed, PartitionRef } from "../groups/offsets.ts";
import type { Outcome } from "../log/markers.ts";
import type { Json } from "../storage/journal.ts";

const STATES = [
  "Empty",
  "Ongoing",
  "PrepareCommit",
  "PrepareAbort",
  "CompleteCommit",
  "CompleteAbort",
] as const;

/** Prepared: the outcome is decided, but not every partition has its marker. */
export type TransactionState = (typeof STATES)[number];

export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

/** An offset that is committed with the transaction. */
export interface PendingOffset extends PartitionRef, Committed {
  readonly group: string;
  /** A topic of the same name that is created meanwhile does not get the offset. */
  readonly topicId: string;
}

export interface Transaction extends ProducerIdentity {
  readonly state: TransactionState;
  /** The epoch that the producer itself asked to raise: a repeated request gets the same answer. -1: none. */
  readonly lastEpoch: number;
  /** The producer id whose epochs were used up; -1: none. */
  readonly previousProducerId: number;
  readonly timeoutMs: number;
  /** When the last transaction began; -1: none did. Milliseconds since 1970, like the next one. */
  readonly startedAt: number;
  readonly updatedAt: number;
  readonly partitions: readonly PartitionRef[];
  /** The groups whose offsets may be committed with it. */
  readonly groups: readonly string[];
  readonly offsets: readonly PendingOffset[];
}

/** The largest epoch is not assigned to a producer, so that a later one exists for fencing. */
export const LAST_EPOCH = 0x7fff - 1;
const NONE = -1;

export const preparedFor = { commit: "PrepareCommit", abort: "PrepareAbort" } as const;
export const completeFor = { commit: "CompleteCommit", abort: "CompleteAbort" } as const;

/** The outcome of a prepared transaction; undefined in any other state. */
export function preparedOutcome(state: TransactionState | undefined): Outcome | undefined {
  if (state === "PrepareCommit") return "commit";
  return state === "PrepareAbort" ? "abort" : undefined;
}

export function isState(name: string): name is TransactionState {
  return STATES.some((state) => state === name);
}

/** The first state of a transactional id. */
export function created(producerId: number, timeoutMs: number, now: number): Transaction {
  const identity = { producerId, epoch: 0, lastEpoch: NONE, previousProducerId: NONE };
  return { ...identity, ...notBegun, state: "Empty", timeoutMs, updatedAt: now };
}

const nothing = { partitions: [], groups: [], offsets: [] };
const notBegun = { startedAt: NONE, ...nothing };

/**
 * Whether a producer that asks for the next epoch of its identity is the current one.
 * @returns false when another producer took its place
 */
export function mayContinue(transaction: Transaction, expected: ProducerIdentity): boolean {
  const usedUp = expected.producerId === transaction.previousProducerId && expected.epoch >= LAST_EPOCH;
  return expected.producerId === transaction.producerId || usedUp;
}

/** Whether the next initialization needs a new producer id. */
export function needsProducerId(
  { epoch, lastEpoch }: Transaction,
  expected: ProducerIdentity | undefined,
): boolean {
  if (epoch < LAST_EPOCH) return false;
  if (!expected || expected.epoch === epoch) return true;
  // The producer itself aborted its transaction, with the epoch that no producer gets.
  return epoch > LAST_EPOCH && expected.epoch === lastEpoch;
}

/** The state after an initialization with a new producer id, because the epochs are used up. */
export function withProducerId(
  transaction: Transaction,
  producerId: number,
  expected: ProducerIdentity | undefined,
): Transaction {
  const lastEpoch = expected?.epoch ?? NONE;
  const identity = { producerId, epoch: 0, lastEpoch, previousProducerId: transaction.producerId };
  return { ...transaction, ...identity, ...notBegun, state: "Empty" };
}

/** The state after an initialization. @throws KafkaError PRODUCER_FENCED when `expected` is not the current producer */
export function withNextEpoch(transaction: Transaction, expected: ProducerIdentity | undefined): Transaction {
  const { epoch, lastEpoch } = transaction;
  const initialized = { ...transaction, ...notBegun, state: "Empty" } as const;
  if (!expected) return { ...initialized, epoch: epoch + 1, lastEpoch: NONE };
  if (expected.epoch === epoch) return { ...initialized, epoch: epoch + 1, lastEpoch: epoch };
  // A repeated request, whose first response was lost.
  if (expected.epoch === lastEpoch) return initialized;
  throw new KafkaError(ErrorCode.PRODUCER_FENCED);
}

/** An open transaction, with more partitions and groups. Begins it when it is not open. */
export function withAdded(
  transaction: Transaction,
  added: { readonly partitions: readonly PartitionRef[]; readonly groups: readonly string[] },
  now: number,
): Transaction {
  const open =
    transaction.state === "Ongoing"
      ? transaction
      : ({ ...transaction, ...nothing, state: "Ongoing", startedAt: now } as const);
  const partitions = added.partitions.filter((partition) => !hasPartition(open, partition));
  const groups = added.groups.filter((group) => !open.groups.includes(group));
  return {
    ...open,
    partitions: [...open.partitions, ...partitions],
    groups: [...open.groups, ...groups],
    updatedAt: now,
  };
}

export function hasPartition({ partitions }: Transaction, { topic, partition }: PartitionRef): boolean {
  return partitions.some((one) => one.topic === topic && one.partition === partition);
}

/** A later offset of a partition replaces an earlier one. */
export function withOffsets(
  transaction: Transaction,
  offsets: readonly PendingOffset[],
  now: number,
): Transaction {
  const kept = transaction.offsets.filter(
    (known) => !offsets.some(({ group, ...partition }) => isFor(known, group, partition)),
  );
  return { ...transaction, offsets: [...kept, ...offsets], updatedAt: now };
}

export function isFor(offset: PendingOffset, group: string, { topic, partition }: PartitionRef): boolean {
  return offset.group === group && offset.topic === topic && offset.partition === partition;
}

/** Raises the epoch, so that the producer may not go on with its own. */
export interface Fence {
  /** Whether the producer itself asked for it: a repeated request gets the raised epoch. */
  readonly byProducer: boolean;
}

/** Decided, with no more offsets to commit. */
export function prepared(
  transaction: Transaction,
  outcome: Outcome,
  fence: Fence | undefined,
  now: number,
): Transaction {
  const { epoch } = transaction;
  const next = fence ? { epoch: epoch + 1, lastEpoch: fence.byProducer ? epoch : NONE } : {};
  return { ...transaction, ...next, state: preparedFor[outcome], offsets: [], updatedAt: now };
}

export function completed(transaction: Transaction, outcome: Outcome): Transaction {
  return { ...transaction, ...nothing, state: completeFor[outcome] };
}

/** The form in the journal. */
export function toJson({ partitions, offsets, ...rest }: Transaction): Json {
  return {
    ...rest,
    partitions: partitions.map(({ topic, partition }) => [topic, partition]),
    offsets: offsets.map(({ group, topic, topicId, partition, offset, leaderEpoch, metadata }) => {
      return [group, topic, topicId, partition, offset, leaderEpoch, metadata];
    }),
  };
}

/** @throws Error unless it is the form of this version */
export function fromJson(json: Json): Transaction {
  const fields = new Map(typeof json === "object" && json !== null ? Object.entries(json) : []);
  const unknown = () =>
    new Error(`the journal has a transaction of an unknown format: ${JSON.stringify(json)}`);
  const number = (name: string): number => {
    const found = fields.get(name);
    if (typeof found !== "number") throw unknown();
    return found;
  };
  const list = (name: string): readonly Json[] => {
    const found = fields.get(name);
    if (!Array.isArray(found)) throw unknown();
    return found;
  };
  const tuples = (name: string) =>
    list(name).map((tuple): readonly Json[] => {
      if (!Array.isArray(tuple)) throw unknown();
      return tuple;
    });
  const state = fields.get("state");
  if (typeof state !== "string" || !isState(state)) throw unknown();
  return {
    state,
    producerId: number("producerId"),
    epoch: number("epoch"),
    lastEpoch: number("lastEpoch"),
    previousProducerId: number("previousProducerId"),
    timeoutMs: number("timeoutMs"),
    startedAt: number("startedAt"),
    updatedAt: number("updatedAt"),
    groups: list("groups").map(String),
    partitions: tuples("partitions").map(([topic, partition]) => ({
      topic: String(topic),
      partition: Number(partition),
    })),
    offsets: tuples("offsets").map(([group, topic, topicId, partition, offset, leaderEpoch, metadata]) => ({
      group: String(group),
      topic: String(topic),
      topicId: String(topicId),
      partition: Number(partition),
      offset: Number(offset),
      leaderEpoch: Number(leaderEpoch),
      metadata: String(metadata),
    })),
  };
}
