import { availableParallelism } from "node:os";
import { type Campaign, runCampaign, type WorkerPlan } from "@distributed-messaging/e2e/simulation/campaign";
import { type FaultName, faultNames, isFaultName } from "@distributed-messaging/e2e/simulation/faults";
import { mutations } from "@distributed-messaging/e2e/simulation/mutations";
import { describeFailure, Totals } from "@distributed-messaging/e2e/simulation/report";
import { shrink } from "@distributed-messaging/e2e/simulation/shrink";
import { type Report, simulate } from "@distributed-messaging/e2e/simulation/simulate";
import type { WorldOptions } from "@distributed-messaging/e2e/simulation/world";
import { parseOptions, runCommand, UsageError } from "./command/command.ts";

const usage = `usage: bun run simulate [options]

Simulates the whole store in one process, one seed a run, with random faults. For a run that breaks a promise it
prints the seed, the smallest run that breaks it too, the command that repeats it, and the end of its trace. The exit
code is 0 only if every promise held.

  --seeds N       how many runs (200)
  --from S        the first seed (1)
  --orders M      orders in each run (50)
  --workers W     processes that share the work (one for each core)
  --without A,B   faults that never strike: ${faultNames.join(", ")}
  --trace         print everything that happens; for one seed
  --take-away T   a kit with one protection less, named by the beginning of: ${mutations.map(({ name }) => `\n                  ${name}`).join("")}`;

const PROGRESS_EVERY_MS = 5_000;
/** Failures that are shown in full. */
const MOST_SHOWN = 3;

interface Request extends Campaign {
  readonly workers: number;
  readonly trace: boolean;
}

function readRequest(args: readonly string[]): Request {
  const text = { type: "string" } as const;
  const { values } = parseOptions(args, {
    seeds: text,
    from: text,
    orders: text,
    workers: text,
    without: text,
    "take-away": text,
    trace: { type: "boolean", default: false },
  });
  return {
    seeds: readCount("seeds", values.seeds, 200),
    from: readCount("from", values.from, 1),
    orders: readCount("orders", values.orders, 50),
    workers: readCount("workers", values.workers, availableParallelism()),
    without: (values.without?.split(",") ?? []).map(readFault),
    mutation: values["take-away"] === undefined ? undefined : readMutation(values["take-away"]),
    trace: values.trace,
  };
}

function readCount(name: string, value: string | undefined, usual: number): number {
  if (value === undefined) return usual;
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`--${name} must be a whole number from 1`);
  return count;
}

function readFault(name: string): FaultName {
  if (!isFaultName(name))
    throw new UsageError(`there is no fault ${name}; there are ${faultNames.join(", ")}`);
  return name;
}

function readMutation(beginning: string): string {
  const found = mutations.find(({ name }) => name.startsWith(beginning));
  if (found === undefined) throw new UsageError(`there is no protection ${beginning} to take away\n${usage}`);
  return found.name;
}

function optionsOf({ orders, without, mutation: name }: Campaign, seed: number): WorldOptions {
  const mutation = mutations.find((candidate) => candidate.name === name);
  return { seed, orders, without: new Set(without), ...(mutation === undefined ? {} : { mutation }) };
}

/** A share of the runs, for the process that has asked for it. */
async function work(plan: WorkerPlan): Promise<void> {
  for (let seed = plan.from; seed < plan.from + plan.seeds; seed += plan.step) {
    process.send?.(await simulate(optionsOf(plan, seed)));
  }
}

async function trace(request: Request): Promise<number> {
  const report = await simulate({ ...optionsOf(request, request.from), tell: (line) => console.log(line) });
  console.log(`trace ${report.digest}, ${report.violations.length} violations`);
  return report.violations.length === 0 ? 0 : 1;
}

async function simulateAll(request: Request): Promise<number> {
  const startedMs = performance.now();
  const totals = new Totals();
  const failed: Report[] = [];
  const progress = () => {
    const seconds = (performance.now() - startedMs) / 1000;
    const { runs, orders, crashes, failed } = totals;
    const rate = Math.round(orders / seconds);
    console.log(
      `${runs}/${request.seeds} seeds, ${orders} orders, ${crashes} crashes, ${failed} failed; ` +
        `${seconds.toFixed(0)} s, ${rate} orders/s`,
    );
  };
  const timer = setInterval(progress, PROGRESS_EVERY_MS);
  const lost = await runCampaign(request, request.workers, import.meta.path, (report) => {
    totals.add(report);
    if (report.violations.length === 0) return;
    failed.push(report);
    console.log(`seed ${report.seed}: ${report.violations[0]}`);
  });
  clearInterval(timer);
  progress();
  console.log(`faults: ${totals.faults()}`);
  for (const seed of lost) console.log(`seed ${seed} never ended, or ended its process`);
  for (const report of failed.slice(0, MOST_SHOWN)) {
    console.log(describeFailure(await shrink(optionsOf(request, report.seed), report)));
  }
  return failed.length + lost.length === 0 ? 0 : 1;
}

const [first, second] = process.argv.slice(2);
if (first === "--worker" && second !== undefined) {
  process.on("disconnect", () => process.exit(1));
  await work(JSON.parse(second) as WorkerPlan);
  // Not by an exit, which would lose reports that are on their way.
  process.removeAllListeners("disconnect");
  process.disconnect?.();
} else {
  await runCommand("simulate", usage, async (args) => {
    const request = readRequest(args);
    return request.trace ? trace(request) : simulateAll(request);
  });
}
