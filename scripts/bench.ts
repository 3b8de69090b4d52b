import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureBesideWatermill } from "./bench/beside-watermill.ts";
import { measureBrokers } from "./bench/broker.ts";
import { type Comparison, compare, type Figure } from "./bench/comparison.ts";
import { measureGrowth } from "./bench/growth.ts";
import { Histories } from "./bench/history.ts";
import { type BenchOptions, readOptions, USAGE } from "./bench/options.ts";
import { measureReplication } from "./bench/replication.ts";
import { asText, loadBefore, machine, type Report } from "./bench/report.ts";
import { measureRetention } from "./bench/retention.ts";
import { requireWritable, save } from "./bench/save.ts";
import {
  measureAnswers,
  measureCatchUp,
  measureHighestRate,
  measureIdle,
  measureLatency,
  measurePeak,
} from "./bench/scenarios.ts";
import { System, systemNames } from "./bench/system.ts";
import { measureTakeover } from "./bench/takeover.ts";
import { measureTracing } from "./bench/tracing.ts";
import { measureCommits } from "./bench/unit-of-work.ts";
import { canReadUsage } from "./bench/usage.ts";
import { measureWaitingOrders } from "./bench/waiting-orders.ts";
import { runCommand } from "./command/command.ts";

/** The scenarios that are measured one after the other in a store, or a floor, that is started once. */
const IN_ONE_SYSTEM = ["idle", "latency", "rate", "catch-up"] as const;
const say = (line: string) => process.stdout.write(`${line}\n`);

type OnLimit = (what: string) => void;

/** Measures store and floor in turn. */
function measureBoth(
  { scenarios, rounds, lengths, broker }: BenchOptions,
  onLimit: OnLimit,
): Promise<Comparison[]> {
  return compare(systemNames, rounds, say, async (name, round) => {
    await using system = await System.start(name, { broker });
    const measuring = {
      ...{ system, lengths },
      onLimit: (what: string) => onLimit(`round ${round}, ${name}: ${what}`),
    };
    const figures: Figure[] = [];
    if (scenarios.has("idle")) figures.push(...(await measureIdle(measuring)));
    if (scenarios.has("latency")) {
      const latencies = await measureLatency(measuring);
      figures.push(...latencies, ...(await measureAnswers(measuring, latencies)));
    }
    const highest =
      scenarios.has("rate") || scenarios.has("catch-up") ? await measureHighestRate(measuring) : [];
    figures.push(...highest);
    if (scenarios.has("idle")) figures.push(...measurePeak(measuring));
    // Last: it starts processes anew.
    if (scenarios.has("catch-up")) figures.push(...(await measureCatchUp(measuring, highest[0]?.value ?? 0)));
    return figures;
  });
}

async function measureHistories(
  { rounds, lengths, broker, history: counts, histories: given }: BenchOptions,
  onLimit: OnLimit,
): Promise<Comparison[]> {
  const folder = given ?? mkdtempSync(join(tmpdir(), "bench-histories-"));
  const remove = () => {
    if (given === undefined) rmSync(folder, { recursive: true, force: true });
  };
  // Also when it is interrupted.
  process.once("exit", remove);
  try {
    return await measureGrowth(new Histories(folder), { counts, rounds, lengths, broker }, say, onLimit);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

async function measureAll(options: BenchOptions, onLimit: OnLimit): Promise<Comparison[]> {
  const { scenarios, rounds, lengths, records, waiting } = options;
  const comparisons: Comparison[] = [];
  if (IN_ONE_SYSTEM.some((name) => scenarios.has(name))) {
    comparisons.push(...(await measureBoth(options, onLimit)));
  }
  if (scenarios.has("growth")) comparisons.push(...(await measureHistories(options, onLimit)));
  if (scenarios.has("tracing")) comparisons.push(...(await measureTracing(options, say, onLimit)));
  if (scenarios.has("replication")) {
    comparisons.push(...(await measureReplication(options, say, onLimit)));
  }
  if (scenarios.has("takeover")) comparisons.push(...(await measureTakeover(options.takeovers, say)));
  if (scenarios.has("broker")) {
    comparisons.push(...(await measureBrokers({ seconds: lengths.seconds, records }, rounds, say)));
  }
  if (scenarios.has("commits")) comparisons.push(...(await measureCommits(rounds, say)));
  if (scenarios.has("waiting-orders")) {
    comparisons.push(...(await compare(["inventory"], rounds, say, () => measureWaitingOrders(waiting))));
  }
  if (scenarios.has("retention")) {
    comparisons.push(...(await measureRetention(options.retained, lengths.atOnce, say)));
  }
  if (scenarios.has("watermill")) comparisons.push(...(await measureBesideWatermill(options, say, onLimit)));
  return comparisons;
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args, process.env);
  requireWritable(options);
  say(machine());
  if (!canReadUsage) say("CPU and memory of processes are left out: they can be read on Linux only");
  const limits: string[] = [];
  const report: Report = {
    command: ["bun run bench", ...args].join(" "),
    ...{ startedAt: new Date().toISOString(), machine: machine(), loadBefore: loadBefore() },
    ...{ scenarios: [...options.scenarios], rounds: options.rounds },
    comparisons: await measureAll(options, (what) => limits.push(what)),
    limits,
  };
  say(`\n${asText(report)}`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  // Nothing was measured where a machine lacks what the only scenario needs.
  if (options.save !== undefined && report.comparisons.length > 0) save(options.save, report);
  return 0;
}

await runCommand("bench", USAGE, main);
