import type { Prng } from "./prng.ts";

/** A fault that may strike whenever there is an occasion for it, with this probability at ordinary intensity. */
interface Occasional {
  readonly probability: number;
}

/** A fault that strikes at random moments, this many milliseconds apart on average at ordinary intensity. */
interface Recurring {
  readonly everyMs: number;
}

/** Everything that can go wrong, and how often it ordinarily does. */
export const faultTable = {
  // Between a relay and the broker.
  publishRefused: { probability: 0.04 },
  publishPartlyStored: { probability: 0.04 },
  acknowledgementLost: { probability: 0.04 },
  publishStoredLate: { probability: 0.03 },
  publishStoredTwice: { probability: 0.04 },
  // Between the broker and a consumer.
  redelivery: { probability: 0.05 },
  deliveryLate: { probability: 0.04 },
  progressLost: { probability: 0.02 },
  // A process dies: at which step.
  crashBeforeCommit: { probability: 0.004 },
  crashAfterCommit: { probability: 0.004 },
  crashAtStatement: { probability: 0.0004 },
  crashBeforeSend: { probability: 0.006 },
  crashBeforeAcknowledgement: { probability: 0.006 },
  crashAfterAcknowledgement: { probability: 0.006 },
  crashBeforeProgress: { probability: 0.004 },
  // The disk refuses.
  commitRefused: { probability: 0.006 },
  statementRefused: { probability: 0.0006 },
  readRefused: { probability: 0.0005 },
  // A handler throws: before, or after it has written.
  handlerThrows: { probability: 0.015 },
  handlerThrowsLate: { probability: 0.015 },
  // A message that cannot be handled until somebody mends the code.
  messageRefused: { probability: 0.002 },
  messageThrows: { probability: 0.001 },
  messageKills: { probability: 0.001 },
  // Work takes long, so a group of works ends early.
  slowWork: { probability: 0.03 },
  // Between a customer and the gateway.
  answerLost: { probability: 0.08 },
  // At any moment.
  crash: { everyMs: 15_000 },
  orderlyRestart: { everyMs: 25_000 },
  longDowntime: { everyMs: 60_000 },
  brokerAway: { everyMs: 30_000 },
  rebalance: { everyMs: 12_000 },
  clockJump: { everyMs: 12_000 },
  poison: { everyMs: 6_000 },
  compaction: { everyMs: 10_000 },
  topicRecreated: { everyMs: 15_000 },
  // Not faults, but what operators do about them.
  operator: { everyMs: 3_000 },
  rebuild: { everyMs: 15_000 },
} as const satisfies Record<string, Occasional | Recurring>;

export type FaultName = keyof typeof faultTable;
export type OccasionalFault = {
  [Name in FaultName]: (typeof faultTable)[Name] extends Occasional ? Name : never;
}[FaultName];
export type RecurringFault = Exclude<FaultName, OccasionalFault>;

export const faultNames = Object.keys(faultTable) as readonly FaultName[];
export const recurringFaults = faultNames.filter(isRecurring);

export function isFaultName(text: string): text is FaultName {
  return Object.hasOwn(faultTable, text);
}

function isRecurring(name: FaultName): name is RecurringFault {
  return "everyMs" in faultTable[name];
}

/** From an eighth of the ordinary rate to four times it. */
const LEAST_INTENSITY_LOG2 = -3;
const MOST_INTENSITY_LOG2 = 2;

/**
 * Decides when something goes wrong. Each fault has a stream of its own and an intensity of its own, drawn
 * from the seed: some runs are stormy in one way, some in another, none is quite like the next.
 */
export class Faults {
  /** Off while the world is set up and after it has been healed. */
  enabled = false;
  /** How often each has struck. */
  readonly struck = new Map<FaultName, number>();
  readonly #streams = new Map<FaultName, { prng: Prng; intensity: number }>();

  /** @param without faults that never strike in this run */
  constructor(prng: Prng, without: ReadonlySet<FaultName>) {
    for (const name of faultNames) {
      const stream = prng.fork(name);
      const log2 = LEAST_INTENSITY_LOG2 + stream.float() * (MOST_INTENSITY_LOG2 - LEAST_INTENSITY_LOG2);
      if (!without.has(name)) this.#streams.set(name, { prng: stream, intensity: 2 ** log2 });
    }
  }

  /** Asked at each occasion: whether it goes wrong this time. */
  strikes(name: OccasionalFault): boolean {
    if (!this.enabled) return false;
    const stream = this.#streams.get(name);
    if (stream === undefined) return false;
    const struck = stream.prng.chance(faultTable[name].probability * stream.intensity);
    if (struck) this.count(name);
    return struck;
  }

  /** How long until a recurring fault strikes next; undefined when it never does. */
  nextMs(name: RecurringFault): number | undefined {
    const stream = this.#streams.get(name);
    return stream?.prng.exponential(faultTable[name].everyMs / stream.intensity);
  }

  count(name: FaultName): void {
    this.struck.set(name, (this.struck.get(name) ?? 0) + 1);
  }
}
