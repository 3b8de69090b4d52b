import { type Comparison, compare, type Figure } from "./comparison.ts";
import type { Histories } from "./history.ts";
import type { OtherBroker } from "./other-broker.ts";
import {
  type Lengths,
  type Measuring,
  measureHighestRate,
  measureLatency,
  measurePeak,
  withTotal,
} from "./scenarios.ts";
import { System } from "./system.ts";

const labelOf = (count: number) => `${count.toLocaleString("en")} orders`;

interface Growth {
  /** Orders of history, without 0, with which each is compared. */
  readonly counts: readonly number[];
  readonly rounds: number;
  readonly lengths: Lengths;
  /** With it, the store starts with its databases, and without records: a history includes an embedded broker's. */
  readonly broker: OtherBroker | undefined;
}

/**
 * A store that has had so many orders, beside one that has had none.
 *
 * @param onLimit called with what limits the worth of the figures
 * @throws CommandFailed unless every order was confirmed
 */
export async function measureGrowth(
  histories: Histories,
  { counts, rounds, lengths, broker }: Growth,
  report: (line: string) => void,
  onLimit: Measuring["onLimit"],
): Promise<Comparison[]> {
  const all = [0, ...counts];
  await histories.provide(all, report);
  const byLabel = new Map(all.map((count) => [labelOf(count), count]));
  const comparisons = await compare([...byLabel.keys()], rounds, report, async (label, round) => {
    const count = byLabel.get(label) ?? 0;
    const dataDir = histories.copy(count, "measured");
    await using system = await System.start("store", { dataDir, broker });
    const startUp = { section: "Start", name: "start-up, all", unit: "ms", value: system.startUpMs };
    const measuring = {
      ...{ system, lengths: { ...lengths, rates: [lengths.arriving] } },
      onLimit: (what: string) => onLimit(`round ${round}, ${label} of history: ${what}`),
    };
    return [
      ...(await measureLatency(measuring)),
      ...(await measureHighestRate(measuring)),
      ...measurePeak(measuring),
      ...diskFigures(histories, count),
      startUp,
      ...(await measureRestarts(system)),
    ];
  });
  return counts.flatMap((count) => besideNone(comparisons, labelOf(count)));
}

/** How long each process takes to start while the others run. */
async function measureRestarts(system: System): Promise<Figure[]> {
  const figures: Figure[] = [];
  // The broker last: the services join their groups anew after it.
  for (const name of system.processes.toReversed()) {
    await system.stop([name]);
    const startedAt = performance.now();
    await system.start([name]);
    const value = performance.now() - startedAt;
    figures.push({ section: "Start", name: `restart, ${name}`, unit: "ms", value });
  }
  return figures;
}

function diskFigures(histories: Histories, count: number): Figure[] {
  if (count === 0) return [];
  const before = histories.sizes(0);
  const figures = [...histories.sizes(count)]
    .map(([name, size]) => ({
      ...{ section: "Disk", name: `disk of an order, ${name}`, unit: "kB" },
      value: (size - (before.get(name) ?? 0)) / count / 1_000,
    }))
    .filter(({ value }) => value > 0);
  return withTotal(figures, "disk of an order");
}

/** Compares what was measured with so much history with what was measured without. */
export function besideNone(comparisons: readonly Comparison[], label: string): Comparison[] {
  return comparisons.flatMap(({ section, values: { [label]: values, [labelOf(0)]: none }, ...comparison }) =>
    values === undefined
      ? []
      : [
          {
            ...{ section: `${section}, ${label} of history`, ...comparison },
            values: { [label]: values, ...(none === undefined ? {} : { [labelOf(0)]: none }) },
          },
        ],
  );
}
