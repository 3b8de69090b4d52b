/** Milliseconds, and a way to let them pass. */
export interface Clock {
  now(): number;
  sleep(ms: number): Promise<void>;
}

/**
 * Open loop: orders are due at even intervals, whatever became of those before. One that is sent late is due all the
 * same when it was, and so are those after it.
 *
 * @param send must not wait for an answer
 * @param goesOn asked before each order; when it is false, no more are due
 */
export async function atRate(
  clock: Clock,
  { count, perSecond }: { readonly count: number; readonly perSecond: number },
  send: (index: number, dueMs: number) => void,
  goesOn = () => true,
): Promise<void> {
  const startedAt = clock.now();
  for (let index = 0; index < count && goesOn(); ) {
    const dueMs = startedAt + (index * 1_000) / perSecond;
    const earlyMs = dueMs - clock.now();
    if (earlyMs > 0) await clock.sleep(earlyMs);
    else send(index++, dueMs);
  }
}

/**
 * Closed loop: so many orders are under way at any time, and the next one is due when one of them ends. What waits in
 * the store is bounded, so the rate is one that it can keep up.
 *
 * @param send calls `ended` once
 */
export function underWay(
  clock: Clock,
  { count, atOnce }: { readonly count: number; readonly atOnce: number },
  send: (index: number, dueMs: number, ended: () => void) => void,
): void {
  let next = 0;
  const sendNext = () => {
    if (next < count) send(next++, clock.now(), sendNext);
  };
  for (let started = 0; started < Math.min(atOnce, count); started += 1) sendNext();
}
