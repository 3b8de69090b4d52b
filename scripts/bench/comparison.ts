import { type Static, Type } from "@sinclair/typebox";
import { timeLeft } from "../command/progress.ts";

/** One measured value. */
export interface Figure {
  /** Figures of the same section and name are compared. */
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

export const Comparison = Type.Object({
  section: Type.String(),
  name: Type.String(),
  unit: Type.String(),
  /** By what was measured, one value for each round. The first is compared with the second, if there is one. */
  values: Type.Record(Type.String(), Type.Array(Type.Number())),
});
export type Comparison = Static<typeof Comparison>;

/**
 * Measures each subject in each round, and in every other round in the other order.
 *
 * @param say called before each measurement, with the time that is left by those before it
 */
export async function compare<Subject extends string>(
  subjects: readonly Subject[],
  rounds: number,
  say: (line: string) => void,
  measure: (subject: Subject, round: number) => Promise<readonly Figure[]>,
): Promise<Comparison[]> {
  const startedMs = performance.now();
  let done = 0;
  const measured = new Map<Subject, Figure[]>(subjects.map((subject) => [subject, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const subject of round % 2 === 1 ? subjects : subjects.toReversed()) {
      const left = timeLeft(performance.now() - startedMs, done++, rounds * subjects.length);
      say(`round ${round} of ${rounds}: ${subject}${left === undefined ? "" : `, about ${left} left`}`);
      measured.get(subject)?.push(...(await measure(subject, round)));
    }
  }
  const comparisons = new Map<string, Comparison>();
  for (const [subject, figures] of measured) {
    for (const { section, name, unit, value } of figures) {
      const key = `${section}\n${name}`;
      const comparison = comparisons.get(key) ?? { section, name, unit, values: {} };
      comparisons.set(key, comparison);
      const values = comparison.values[subject] ?? [];
      comparison.values[subject] = values;
      values.push(value);
    }
  }
  return [...comparisons.values()];
}

interface Spread {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** The first value divided by the second, of each round. There is none where the second is 0 or missing. */
export function ratioOf({ values }: Comparison): Spread | undefined {
  const [of = [], base = []] = Object.values(values);
  const ratios = of.map((value, round) => value / (base[round] ?? Number.NaN)).filter(Number.isFinite);
  if (ratios.length === 0) return undefined;
  return { median: medianOf(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
