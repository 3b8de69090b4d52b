import { compare, type Figure } from "./bench/comparison.ts";
import { type BenchOptions, readOptions, USAGE } from "./bench/options.ts";
import { asText, loadBefore, machine, type Report } from "./bench/report.ts";
import { save } from "./bench/save.ts";
import { measureHighestRate, measureIdle, measureLatency, measurePeak } from "./bench/scenarios.ts";
import { System, type SystemName } from "./bench/system.ts";
import { benchUnitOfWork } from "./bench/unit-of-work.ts";
import { canReadUsage } from "./bench/usage.ts";
import { benchWaitingOrders } from "./bench/waiting-orders.ts";
import { runCommand } from "./command/command.ts";

/** The scenarios that compare the store with the floor. */
const COMPARED = ["idle", "latency", "rate"] as const;
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Measures store and floor in turn. */
async function measureBoth(options: BenchOptions, command: string): Promise<Report> {
  const { scenarios, rounds, lengths } = options;
  const before = { startedAt: new Date().toISOString(), loadBefore: loadBefore() };
  const limits: string[] = [];
  if (!canReadUsage) say("CPU and memory of processes are left out: they can be read on Linux only");
  const comparisons = await compare(rounds, async (name: SystemName, round) => {
    say(`round ${round} of ${rounds}: ${name}`);
    await using system = await System.start(name);
    const onLimit = (what: string) => limits.push(`round ${round}, ${name}: ${what}`);
    const measuring = { system, lengths, onLimit };
    const figures: Figure[] = [];
    if (scenarios.has("idle")) figures.push(...(await measureIdle(measuring)));
    if (scenarios.has("latency")) figures.push(...(await measureLatency(measuring)));
    if (scenarios.has("rate")) figures.push(...(await measureHighestRate(measuring)));
    if (scenarios.has("idle")) figures.push(...measurePeak(measuring));
    return figures;
  });
  return {
    command,
    ...before,
    machine: machine(),
    scenarios: COMPARED.filter((name) => scenarios.has(name)),
    rounds,
    comparisons,
    limits,
  };
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const { scenarios, save: folder } = options;
  say(machine());
  if (COMPARED.some((name) => scenarios.has(name))) {
    const report = await measureBoth(options, ["bun run bench", ...args].join(" "));
    say(`\n${asText(report)}`);
    if (folder !== undefined) save(folder, report);
  }
  if (scenarios.has("commits")) await benchUnitOfWork();
  if (scenarios.has("waiting-orders")) await benchWaitingOrders();
  return 0;
}

await runCommand("bench", USAGE, main);
