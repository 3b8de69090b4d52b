import type { Prng } from "./prng.ts";

/** A fault that may occur at each opportunity, with this probability at intensity 1. */
interface Opportunity {
  readonly probability: number;
}

/** A fault that recurs at random times, this many milliseconds apart on average at intensity 1. */
interface Recurring {
  readonly everyMs: number;
}

/** All faults, with their rates at intensity 1. */
const faultTable = {
  // Between a relay and the broker.
  publishRefused: { probability: 0.04 },
  publishPartlyStored: { probability: 0.04 },
  acknowledgementLost: { probability: 0.04 },
  publishStoredLate: { probability: 0.03 },
  publishStoredTwice: { probability: 0.04 },
  // The broker refuses a record, or a topic for a while.
  recordRefused: { probability: 0.01 },
  topicRefused: { probability: 0.01 },
  // Between the broker and a consumer.
  redelivery: { probability: 0.05 },
  deliveryLate: { probability: 0.04 },
  shortBatch: { probability: 0.3 },
  progressLost: { probability: 0.02 },
  // A process crashes at a certain step.
  crashBeforeCommit: { probability: 0.004 },
  crashAfterCommit: { probability: 0.004 },
  crashAtStatement: { probability: 0.0004 },
  crashBeforeSend: { probability: 0.006 },
  crashBeforeAcknowledgement: { probability: 0.006 },
  crashAfterAcknowledgement: { probability: 0.006 },
  crashBeforeProgress: { probability: 0.004 },
  // The disk fails.
  commitRefused: { probability: 0.006 },
  statementRefused: { probability: 0.0006 },
  readRefused: { probability: 0.0005 },
  // A handler throws, before or after it has written.
  handlerThrows: { probability: 0.015 },
  handlerThrowsLate: { probability: 0.015 },
  effectFails: { probability: 0.1 },
  // A message cannot be handled for as long as its handler has a bug.
  messageRefused: { probability: 0.004 },
  messageThrows: { probability: 0.001 },
  messageKills: { probability: 0.001 },
  // Work takes long, which ends a batch early.
  slowWork: { probability: 0.03 },
  // Between a client and the gateway.
  answerLost: { probability: 0.08 },
  // At random times.
  crash: { everyMs: 15_000 },
  orderlyRestart: { everyMs: 25_000 },
  longDowntime: { everyMs: 60_000 },
  brokerAway: { everyMs: 30_000 },
  // A process does nothing for a while; or until another one, on a copy of its file in another place, has taken its place.
  pause: { everyMs: 25_000 },
  replaced: { everyMs: 30_000 },
  // A process ends, and its file goes on in another place; or with another identity, and an operator has it take over.
  moved: { everyMs: 30_000 },
  takeOver: { everyMs: 40_000 },
  // A second process beside the one that lives: on an empty file, a copy, an older copy, and one that is to take over.
  emptyFile: { everyMs: 25_000 },
  copiedFile: { everyMs: 25_000 },
  olderFile: { everyMs: 25_000 },
  takeOverFromLiving: { everyMs: 25_000 },
  // Only with replicas: machines are lost with their disks; a leader does nothing until another instance leads; a process
  // without replication runs beside the instances.
  instanceDestroyed: { everyMs: 15_000 },
  leaderPaused: { everyMs: 15_000 },
  unreplicated: { everyMs: 25_000 },
  rebalance: { everyMs: 12_000 },
  clockJump: { everyMs: 12_000 },
  poison: { everyMs: 6_000 },
  compaction: { everyMs: 10_000 },
  topicRecreated: { everyMs: 15_000 },
  logTruncated: { everyMs: 20_000 },
  undecodable: { everyMs: 15_000 },
  // Retention removes records that were read, or some that were not.
  retention: { everyMs: 12_000 },
  retentionUnread: { everyMs: 5_000 },
  // Not faults, but what an operator does about them.
  operator: { everyMs: 3_000 },
  rebuild: { everyMs: 15_000 },
} as const satisfies Record<string, Opportunity | Recurring>;

export type FaultName = keyof typeof faultTable;
type OpportunityFault = {
  [Name in FaultName]: (typeof faultTable)[Name] extends Opportunity ? Name : never;
}[FaultName];
export type RecurringFault = Exclude<FaultName, OpportunityFault>;

export const faultNames = Object.keys(faultTable) as readonly FaultName[];
/** Those that occur with replicas only. */
export const replicaFaults: readonly FaultName[] = ["instanceDestroyed", "leaderPaused", "unreplicated"];
export const recurringFaults = faultNames.filter(isRecurring);

export function isFaultName(text: string): text is FaultName {
  return Object.hasOwn(faultTable, text);
}

function isRecurring(name: FaultName): name is RecurringFault {
  return "everyMs" in faultTable[name];
}

/** An intensity is between an eighth and four. */
const MIN_INTENSITY_LOG2 = -3;
const MAX_INTENSITY_LOG2 = 2;

/** Decides when faults occur. Each has its own random stream and its own intensity, drawn from the seed. */
export class Faults {
  /** Off until all services have started, and again before the invariants are checked. */
  enabled = false;
  /** How often each fault has occurred. */
  readonly counts = new Map<FaultName, number>();
  readonly #streams = new Map<FaultName, { prng: Prng; intensity: number }>();

  /** @param without faults that never occur in this run */
  constructor(prng: Prng, without: ReadonlySet<FaultName>) {
    for (const name of faultNames) {
      const stream = prng.fork(name);
      const log2 = MIN_INTENSITY_LOG2 + stream.float() * (MAX_INTENSITY_LOG2 - MIN_INTENSITY_LOG2);
      if (!without.has(name)) this.#streams.set(name, { prng: stream, intensity: 2 ** log2 });
    }
  }

  /** Called at each opportunity. @returns whether the fault occurs at this one */
  occurs(name: OpportunityFault): boolean {
    const stream = this.#streams.get(name);
    if (!this.enabled || stream === undefined) return false;
    const occurs = stream.prng.chance(faultTable[name].probability * stream.intensity);
    if (occurs) this.count(name);
    return occurs;
  }

  /** Milliseconds until a recurring fault occurs next; undefined if it never does. */
  nextMs(name: RecurringFault): number | undefined {
    const stream = this.#streams.get(name);
    return stream?.prng.exponential(faultTable[name].everyMs / stream.intensity);
  }

  /** Whether a fault occurs in this run at all. */
  injects(name: FaultName): boolean {
    return this.#streams.has(name);
  }

  count(name: FaultName): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}
