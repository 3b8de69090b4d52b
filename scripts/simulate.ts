import { availableParallelism } from "node:os";
import {
  type Campaign,
  runCampaign,
  runSeed,
  shrink,
  type WorkerPlan,
  work,
} from "@distributed-messaging/e2e/simulation/campaign";
import { type FaultName, faultNames, isFaultName } from "@distributed-messaging/e2e/simulation/faults";
import { mutants } from "@distributed-messaging/e2e/simulation/mutants";
import { describeFailure, type Report, Totals } from "@distributed-messaging/e2e/simulation/report";
import { parseOptions, runCommand, UsageError, wholeNumber } from "./command/command.ts";
import { Progress } from "./command/progress.ts";

const usage = `usage: bun run simulate [options]

Runs the whole store in one process and in virtual time, once for each seed, with random faults. For a run with a
violation it prints the smallest run that has it too, the command that repeats it, and the end of its trace. The exit
code is 0 only if there was no violation.

  --seeds N       number of runs (200)
  --from S        first seed (1)
  --orders M      orders in each run (50)
  --replicas N    instances of each service that can be replicated (1: none is replicated)
  --workers W     worker processes (one per core)
  --without A,B   faults to leave out, of: ${faultNames.join(", ")}
  --trace         print the trace of one run
  --take-away T   run a mutant, which must be detected: the beginning of ${mutants.map(({ name }) => `\n                  "${name}"`).join("")}`;

const PROGRESS_EVERY_MS = 1_000;
/** Failed runs that are described. */
const MAX_DESCRIBED = 3;

interface Options extends Campaign {
  readonly workers: number;
  readonly trace: boolean;
}

function readOptions(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseOptions(args, {
    seeds: text,
    from: text,
    orders: text,
    replicas: text,
    workers: text,
    without: text,
    "take-away": text,
    trace: { type: "boolean", default: false },
  });
  return {
    seeds: readCount("seeds", values.seeds, 200),
    from: readCount("from", values.from, 1),
    orders: readCount("orders", values.orders, 50),
    replicas: readCount("replicas", values.replicas, 1),
    workers: readCount("workers", values.workers, availableParallelism()),
    without: (values.without?.split(",") ?? []).map(readFault),
    mutant: values["take-away"] === undefined ? undefined : readMutant(values["take-away"]),
    trace: values.trace,
  };
}

function readCount(name: string, value: string | undefined, usual: number): number {
  return value === undefined ? usual : wholeNumber(`--${name}`, value, 1);
}

function readFault(name: string): FaultName {
  if (!isFaultName(name))
    throw new UsageError(`there is no fault ${name}; there are ${faultNames.join(", ")}`);
  return name;
}

function readMutant(beginning: string): string {
  const found = mutants.find(({ name }) => name.startsWith(beginning));
  if (found === undefined) throw new UsageError(`there is no mutant whose name begins with '${beginning}'`);
  return found.name;
}

async function trace(options: Options): Promise<number> {
  const report = await runSeed(options, options.from, (line) => console.log(line));
  console.log(`trace ${report.digest}, ${report.violations.length} violations`);
  return report.violations.length === 0 ? 0 : 1;
}

async function simulateAll(options: Options): Promise<number> {
  const startedMs = performance.now();
  const totals = new Totals();
  const failed: Report[] = [];
  const progress = new Progress();
  const state = () => {
    const seconds = (performance.now() - startedMs) / 1000;
    const { runs, orders, crashes } = totals;
    return (
      `${runs}/${options.seeds} seeds, ${orders} orders, ${crashes} crashes, ${failed.length} failed; ` +
      `${seconds.toFixed(0)} s, ${Math.round(orders / seconds)} orders/s`
    );
  };
  const timer = setInterval(() => progress.show(state(), totals.runs, options.seeds), PROGRESS_EVERY_MS);
  const lost = await runCampaign(options, options.workers, import.meta.path, (report) => {
    totals.add(report);
    if (report.violations.length === 0) return;
    failed.push(report);
    progress.clear();
    console.log(`seed ${report.seed}: ${report.violations[0]}`);
  });
  clearInterval(timer);
  progress.clear();
  console.log(state());
  console.log(`faults: ${[...totals.faults].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  if (totals.abandoned > 0)
    console.log(
      `${totals.abandoned} runs ended early: a copy of a file took over from an owner that did not answer in time`,
    );
  for (const seed of lost) console.log(`seed ${seed}: its run did not end, or ended its process`);
  for (const report of failed.slice(0, MAX_DESCRIBED)) console.log(describeFailure(await shrink(report)));
  return failed.length + lost.length === 0 ? 0 : 1;
}

const [first, second] = process.argv.slice(2);
if (first === "--worker" && second !== undefined) {
  process.on("disconnect", () => process.exit(1));
  await work(JSON.parse(second) as WorkerPlan);
  // An exit would lose reports that are not sent yet.
  process.removeAllListeners("disconnect");
  process.disconnect?.();
} else {
  await runCommand("simulate", usage, async (args) => {
    const options = readOptions(args);
    return options.trace ? trace(options) : simulateAll(options);
  });
}
