/** The shortest time span of the charts in seconds. */
const LEAST_S = 15;
/** What is shown of the time before the first order. */
const LEAD_S = 2;

/** What happened within one second. */
export interface Second {
  readonly accepted: number;
  readonly confirmed: number;
  /** The oldest message in an outbox, and the unread messages of all groups; `null` where nobody answered. */
  readonly oldestAgeS: number | null;
  readonly lag: number | null;
  /** Whether a process did not run. */
  readonly outage: boolean;
  /** Percentiles of the durations so far, at the end of this second; undefined without durations. */
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
}

/**
 * The seconds of the run: from shortly before the first one with orders, or with anything that waits, and at least the last
 * LEAST_S.
 */
export function runOf(all: readonly Second[]): readonly Second[] {
  const first = all.findIndex(
    ({ accepted, confirmed, lag, oldestAgeS, outage }) =>
      accepted + confirmed + (lag ?? 0) + (oldestAgeS ?? 0) > 0 || outage,
  );
  const start = first < 0 ? all.length : first - LEAD_S;
  return all.slice(Math.max(0, Math.min(start, all.length - LEAST_S)));
}

/** The nearest-rank percentile. @param sorted ascending */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
