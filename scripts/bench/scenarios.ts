import type { Figure } from "./comparison.ts";
import { type Done, type Loaded, load, type Used } from "./generator.ts";
import type { System } from "./system.ts";
import type { Usage } from "./usage.ts";

export interface Lengths {
  /** Measured orders of the highest rate. */
  readonly orders: number;
  /** Orders under way at the highest rate. */
  readonly atOnce: number;
  /** Orders a second, for each of which latencies are measured. */
  readonly rates: readonly number[];
  /** For each rate, and for an idle system. */
  readonly seconds: number;
  /** Orders that are placed while the order service is down. */
  readonly outage: number;
  /** Orders a second while those are caught up with, and for the latency of a store with a history. */
  readonly arriving: number;
}

export interface Measuring extends Loaded {
  readonly lengths: Lengths;
  /** Called with what limits the worth of the figures. */
  readonly onLimit: (what: string) => void;
}

const WARM_UP_SECONDS = 3;
/** As a share of one core: with more, the load generator may be what is slow. */
const BUSY_GENERATOR = 0.9;
/** Orders that are sent later than this, at the 99th percentile, make latencies of their own. */
const LATE_MS = 10;
/**
 * While it is down, orders are accepted, and none goes further than to its topic; once it is up, they pass through all
 * services as others do.
 */
const DOWN = ["order"] as const;
/** No new orders arrive after so long. */
const MOST_CATCH_UP_SECONDS = 600;
/** After its start, until a system is idle. */
const SETTLE_MS = 8_000;

/** So many orders under way at any time: how many end a second, and what one costs. */
export async function measureHighestRate(measuring: Measuring): Promise<Figure[]> {
  const { lengths, onLimit } = measuring;
  const section = "Highest rate";
  const { orders, atOnce } = lengths;
  const { done, before, after } = await load(measuring, {
    // The first orders only fill the store.
    ...{ warmUp: Math.max(2 * atOnce, Math.ceil(orders / 5)), orders: orders + atOnce, arrivals: { atOnce } },
  });
  if (done.generatorCpu > BUSY_GENERATOR) onLimit(`highest rate: ${busy(done.generatorCpu)}`);
  const perSecond = done.ended / done.seconds;
  return [
    { section, name: "orders", unit: "a second", value: perSecond },
    ...cpuFigures(section, before, after, done.ended),
  ];
}

/** A system whose services can be stopped and started. */
type Stoppable = Measuring & { readonly system: Pick<System, "stop" | "start"> };

/** Orders at a steady rate, whatever the store does: how long each takes from when it is due. */
export async function measureLatency(measuring: Measuring): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const perSecond of measuring.lengths.rates) {
    const section = `At ${perSecond.toLocaleString("en")} orders a second`;
    const { done, before, after } = await load(measuring, atSteadyRate(measuring, perSecond));
    reportLimits(section, done, measuring);
    const { accepted, confirmed, notified } = done.outcome;
    for (const [what, times] of Object.entries({ accepted, confirmed, notified })) {
      figures.push(...percentileFigures(section, what, times));
    }
    figures.push(...cpuFigures(section, before, after, done.ended));
  }
  return figures;
}

/**
 * Orders at a steady rate while the order service is down, so that the gateway has no events to handle: how long it takes to
 * answer, and how that compares with the answers under the same load when everything runs. All of them are confirmed
 * afterwards.
 *
 * @param latencies as measured with everything running
 */
export async function measureAnswers(measuring: Stoppable, latencies: readonly Figure[]): Promise<Figure[]> {
  const { system, lengths } = measuring;
  const figures: Figure[] = [];
  for (const perSecond of lengths.rates) {
    const section = `At ${perSecond.toLocaleString("en")} orders a second`;
    await system.stop(DOWN);
    const { done } = await withRestart(system, (start) =>
      load(
        measuring,
        { ...atSteadyRate(measuring, perSecond), arrivals: { perSecond, untilAnswered: true } },
        { measuring() {}, measured: start },
      ),
    );
    const what = "accepted while the order service is down";
    reportLimits(`${section}, ${what}`, done, measuring);
    const { accepted } = done.outcome;
    const busy = latencies.find((figure) => figure.section === section && figure.name === "accepted, p50");
    figures.push(...percentileFigures(section, what, accepted));
    if (busy === undefined) continue;
    const value = busy.value / accepted.p50;
    figures.push({ section, name: "accepted, p50, to that while it is down", unit: "times", value });
  }
  return figures;
}

function atSteadyRate({ lengths }: Measuring, perSecond: number) {
  return {
    warmUp: Math.ceil(perSecond * WARM_UP_SECONDS),
    orders: Math.ceil(perSecond * lengths.seconds),
    arrivals: { perSecond },
  };
}

function reportLimits(
  section: string,
  { generatorCpu, outcome: { late } }: Done,
  { onLimit }: Measuring,
): void {
  if (generatorCpu > BUSY_GENERATOR) onLimit(`${section}: ${busy(generatorCpu)}`);
  if (late.p99 > LATE_MS) {
    onLimit(`${section}: the load generator sent 1 of 100 orders more than ${late.p99.toFixed(0)} ms late`);
  }
}

function percentileFigures(
  section: string,
  what: string,
  { p50, p99 }: { p50: number; p99: number },
): Figure[] {
  return [
    { section, name: `${what}, p50`, unit: "ms", value: p50 },
    { section, name: `${what}, p99`, unit: "ms", value: p99 },
  ];
}

/**
 * Starts what is down when `run` calls back, and waits for it. @returns what `run` returns, and the seconds until it was
 * ready
 */
async function withRestart<Result>(
  system: Pick<System, "start">,
  run: (start: () => void) => Promise<Result>,
): Promise<Result & { readonly readyAfter: number }> {
  let started: Promise<number> | undefined;
  const start = async () => {
    const startedAt = performance.now();
    await system.start(DOWN);
    return (performance.now() - startedAt) / 1_000;
  };
  const result = await run(() => {
    started = start();
    // Handled below, once the load has ended.
    started.catch(() => {});
  }).catch(async (error) => {
    // That a service did not start says more than that orders did not end.
    await started;
    throw error;
  });
  return { ...result, readyAfter: (await started) ?? 0 };
}

/**
 * Orders are placed while the order service is down; then it is started, and new orders arrive.
 *
 * @param highest orders a second, as measured before
 */
export async function measureCatchUp(measuring: Stoppable, highest: number): Promise<Figure[]> {
  const { system, lengths, onLimit } = measuring;
  const { outage, arriving: perSecond } = lengths;
  const section = `Catch-up with ${outage.toLocaleString("en")} orders`;
  await system.stop(DOWN);
  const { done, readyAfter } = await withRestart(system, (start) =>
    load(
      measuring,
      {
        warmUp: outage,
        orders: Math.ceil(perSecond * MOST_CATCH_UP_SECONDS),
        arrivals: { perSecond, whileDown: true },
      },
      { measuring: start },
    ),
  );
  if (done.generatorCpu > BUSY_GENERATOR) onLimit(`${section}: ${busy(done.generatorCpu)}`);
  const rate = done.ended / (done.seconds - readyAfter);
  const { accepted } = done.outcome;
  return [
    { section, name: "orders", unit: "a second", value: rate },
    { section, name: "orders a second", unit: "of the highest rate", value: rate / highest },
    { section, name: "caught up after the start", unit: "s", value: done.seconds },
    { section, name: "accepted meanwhile, p50", unit: "ms", value: accepted.p50 },
    { section, name: "accepted meanwhile, p99", unit: "ms", value: accepted.p99 },
    ...memoryFigures(section, system.usage(), ({ peakMb }) => peakMb, "most memory"),
  ];
}

/** What an idle system uses, before it has had an order. */
export async function measureIdle({ system, lengths }: Measuring): Promise<Figure[]> {
  await Bun.sleep(SETTLE_MS);
  const before = system.usage();
  await Bun.sleep(lengths.seconds * 1_000);
  const after = system.usage();
  const section = "Idle";
  const share = [...cpuOf(before, after)].map(([name, ms]) => ({
    ...{ section, name: `CPU, ${name}`, unit: "% of a core" },
    value: ms / lengths.seconds / 10,
  }));
  return [...withTotal(share, "CPU"), ...memoryFigures(section, after, ({ memoryMb }) => memoryMb)];
}

/** The most memory that each process has had so far. */
export function measurePeak({ system }: Measuring): Figure[] {
  return memoryFigures("Peak", system.usage(), ({ peakMb }) => peakMb);
}

function memoryFigures(section: string, used: Used, of: (usage: Usage) => number, what = "memory"): Figure[] {
  const figures = [...used].map(([name, usage]) => ({
    ...{ section, name: `${what}, ${name}`, unit: "MB", value: of(usage) },
  }));
  return withTotal(figures, what);
}

function cpuFigures(section: string, before: Used, after: Used, orders: number): Figure[] {
  const figures = [...cpuOf(before, after)].map(([name, ms]) => ({
    ...{ section, name: `CPU of an order, ${name}`, unit: "ms", value: ms / orders },
  }));
  return withTotal(figures, "CPU of an order");
}

function cpuOf(before: Used, after: Used): Map<string, number> {
  return new Map([...after].map(([name, { cpuMs }]) => [name, cpuMs - (before.get(name)?.cpuMs ?? 0)]));
}

/** The figures after their sum. */
export function withTotal(figures: readonly Figure[], what: string): Figure[] {
  const [first] = figures;
  if (first === undefined) return [];
  const value = figures.reduce((sum, figure) => sum + figure.value, 0);
  return [{ ...first, name: `${what}, all`, value }, ...figures];
}

const busy = (share: number) => `the load generator used ${(100 * share).toFixed(0)} % of a core`;
