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

export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

/** Prints figures, each also as a ratio to the first one: ratios vary less than figures on a shared machine. */
export function report(title: string, figures: readonly Figure[]): void {
  process.stdout.write(`\n${title}\n`);
  const first = figures[0]?.value ?? Number.NaN;
  for (const { what, value, unit } of figures) {
    const shown = value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(2);
    process.stdout.write(
      `  ${what.padEnd(44)} ${shown.padStart(10)} ${unit.padEnd(14)} × ${(value / first).toFixed(2)}\n`,
    );
  }
}
