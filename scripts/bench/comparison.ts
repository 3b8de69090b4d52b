import { type Static, Type } from "@sinclair/typebox";
import { type SystemName, systemNames } from "./system.ts";

/** One measured value of one system. */
export interface Figure {
  /** Figures of the same section and name are compared. */
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

const Values = Type.Array(Type.Number());
export const Comparison = Type.Object({
  section: Type.String(),
  name: Type.String(),
  unit: Type.String(),
  /** One value for each round. */
  store: Values,
  floor: Values,
});
export type Comparison = Static<typeof Comparison>;

/** Measures both systems in each round, and in every other round in the other order. */
export async function compare(
  rounds: number,
  measure: (system: SystemName, round: number) => Promise<readonly Figure[]>,
): Promise<Comparison[]> {
  const comparisons = new Map<string, Comparison>();
  for (let round = 1; round <= rounds; round += 1) {
    for (const system of round % 2 === 1 ? systemNames : systemNames.toReversed()) {
      for (const { section, name, unit, value } of await measure(system, round)) {
        const key = `${section}\n${name}`;
        const comparison = comparisons.get(key) ?? { section, name, unit, store: [], floor: [] };
        comparisons.set(key, comparison);
        comparison[system].push(value);
      }
    }
  }
  return [...comparisons.values()];
}

interface Spread {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** The store's value divided by the floor's, of each round. A floor of 0 has no ratio. */
export function ratioOf({ store, floor }: Comparison): Spread | undefined {
  const ratios = store.map((value, round) => value / (floor[round] ?? Number.NaN)).filter(Number.isFinite);
  if (ratios.length === 0) return undefined;
  return { median: medianOf(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
