/** Repeats work for a time. @param work resolves to how often it was done @returns how often a second */
export async function perSecond(durationMs: number, work: () => Promise<number>): Promise<number> {
  const startedAt = performance.now();
  let done = 0;
  while (performance.now() - startedAt < durationMs) done += await work();
  return (done * 1_000) / (performance.now() - startedAt);
}

/** The value that a share of the values, from 0 to 1, does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
