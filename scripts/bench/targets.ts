import { type Comparison, medianOf, ratioOf } from "./comparison.ts";

/** What a figure should be, on any machine: most of them are ratios of one run. */
interface Target {
  readonly what: string;
  readonly section: RegExp;
  readonly name: RegExp;
  /** Of all figures that it is about, the worst counts: a ratio, or the value of the first system. */
  readonly of: "ratio" | "value";
  readonly unit?: string;
  readonly least?: number;
  readonly most?: number;
}

const AT_A_RATE = /^At [\d,]+ orders a second$/;
const MILLION = "1,000,000 orders of history";

export const targets: readonly Target[] = [
  {
    what: "Highest rate, to the floor's",
    ...{ section: /^Highest rate$/, name: /^orders$/, of: "ratio", least: 0.65 },
  },
  {
    what: "CPU of an order at that rate, to the floor's",
    ...{ section: /^Highest rate$/, name: /^CPU of an order, all$/, of: "ratio", most: 1.5 },
  },
  {
    what: "Highest rate with 1 % of the traces, to that with none",
    ...{ section: /^Highest rate, traces$/, name: /^orders$/, of: "ratio", least: 0.95 },
  },
  {
    what: "Notified, p50, at steady rates, to the floor's",
    ...{ section: AT_A_RATE, name: /^notified, p50$/, of: "ratio", most: 1.3 },
  },
  {
    what: "Notified, p99, at steady rates, to the floor's",
    ...{ section: AT_A_RATE, name: /^notified, p99$/, of: "ratio", most: 1.3 },
  },
  {
    what: "CPU of an order at 50 a second",
    ...{
      section: /^At 50 orders a second$/,
      name: /^CPU of an order, all$/,
      of: "value",
      unit: "ms",
      most: 4,
    },
  },
  {
    what: "Accepted, p50, to that while the order service is down",
    ...{ section: AT_A_RATE, name: /^accepted, p50, to that/, of: "value", most: 2 },
  },
  {
    what: "Catch-up, to the highest rate",
    ...{ section: /^Catch-up/, name: /^orders a second$/, of: "value", least: 0.9 },
  },
  {
    what: "Most memory of a process",
    ...{ section: /^(Catch-up.*|Peak)$/, name: /memory, (?!all)/, of: "value", unit: "MB", most: 200 },
  },
  {
    what: `Highest rate with ${MILLION}, to that with none`,
    ...{ section: new RegExp(`^Highest rate, ${MILLION}$`), name: /^orders$/, of: "ratio", least: 0.95 },
  },
  {
    what: `Notified, p99, with ${MILLION}, to that with none`,
    ...{ section: new RegExp(`^At .*, ${MILLION}$`), name: /^notified, p99$/, of: "ratio", most: 1.2 },
  },
  {
    what: `Start-up with ${MILLION}`,
    ...{
      section: new RegExp(`^Start, ${MILLION}$`),
      name: /^start-up, all$/,
      of: "value",
      unit: "ms",
      most: 1_000,
    },
  },
  {
    what: `Disk of an order, with ${MILLION}`,
    ...{ section: new RegExp(`^Disk, ${MILLION}$`), name: /, all$/, of: "value", unit: "kB", most: 3 },
  },
  {
    what: "Rate with retention, at the end to that before",
    ...{ section: /^Retention/, name: /^rate at the end/, of: "value", least: 0.95 },
  },
  {
    what: "Disk with retention, at the end to that before",
    ...{ section: /^Retention/, name: /^disk at the end/, of: "value", most: 1.1 },
  },
  {
    what: "One restock frees 10,000 waiting orders",
    ...{
      section: /^10,000 orders wait/,
      name: /^one restock serves all/,
      of: "value",
      unit: "ms",
      most: 1_000,
    },
  },
  {
    what: "Idle, all processes, of a core",
    ...{ section: /^Idle$/, name: /^CPU, all$/, of: "value", unit: "%", most: 2 },
  },
];

/** A target that something was measured of. */
interface Outcome {
  readonly what: string;
  /** "at least 0.65", "at most 4 ms" */
  readonly wanted: string;
  /** The worst of the figures. */
  readonly measured: number;
  readonly unit: string;
  readonly isMet: boolean;
}

export function outcomes(comparisons: readonly Comparison[]): Outcome[] {
  return targets.flatMap(({ what, section, name, of, unit = "", least, most }) => {
    const values = comparisons
      .filter((comparison) => section.test(comparison.section) && name.test(comparison.name))
      .map((comparison) => (of === "ratio" ? ratioOf(comparison)?.median : firstOf(comparison)))
      .filter((value) => value !== undefined);
    if (values.length === 0) return [];
    const measured = least === undefined ? Math.max(...values) : Math.min(...values);
    const isMet =
      measured >= (least ?? Number.NEGATIVE_INFINITY) && measured <= (most ?? Number.POSITIVE_INFINITY);
    const limit = least === undefined ? `at most ${most}` : `at least ${least}`;
    return [{ what, wanted: [limit, unit].filter(Boolean).join(" "), measured, unit, isMet }];
  });
}

function firstOf({ values }: Comparison): number | undefined {
  const [first] = Object.values(values);
  return first === undefined ? undefined : medianOf(first);
}
