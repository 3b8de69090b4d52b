import { type FaultName, faultNames } from "./faults.ts";
import { mutants } from "./mutants.ts";
import type { Report } from "./report.ts";
import { simulate } from "./simulation.ts";

/** Many runs that differ only in their seed. */
export interface Campaign {
  readonly from: number;
  readonly seeds: number;
  readonly orders: number;
  /** Instances of each service that can be replicated. @defaultValue 1: none is replicated */
  readonly replicas?: number;
  readonly without: readonly FaultName[];
  /** The name of a mutant. */
  readonly mutant: string | undefined;
}

/** The runs of one worker process, which has them on its command line. */
export interface WorkerPlan extends Campaign {
  /** The distance between two seeds. */
  readonly step: number;
}

/** A run that takes longer loops within one event. */
const RUN_TIMEOUT_MS = 180_000;
/** Runs that are spent on shrinking a failure. */
const MAX_SHRINK_RUNS = 80;

/** One run of a campaign. */
export function runSeed(
  { orders, replicas = 1, without, mutant: name }: Omit<Campaign, "from" | "seeds">,
  seed: number,
  print?: (line: string) => void,
): Promise<Report> {
  const mutant = mutants.find((candidate) => candidate.name === name);
  return simulate({
    seed,
    orders,
    replicas,
    without: new Set(without),
    ...(mutant === undefined ? {} : { mutant }),
    ...(print === undefined ? {} : { print }),
  });
}

/** Runs a worker's part of a campaign and sends each report to the parent process. */
export async function work({ from, seeds, step, ...campaign }: WorkerPlan): Promise<void> {
  for (let seed = from; seed < from + seeds; seed += step) process.send?.(await runSeed(campaign, seed));
}

/**
 * Runs a campaign in worker processes.
 *
 * @param script what a worker runs, with `--worker` and its plan as arguments
 * @param finished called with each report, in any order
 * @returns the seeds of runs that did not end or ended their process
 */
export async function runCampaign(
  campaign: Campaign,
  workers: number,
  script: string,
  finished: (report: Report) => void,
): Promise<number[]> {
  const end = campaign.from + campaign.seeds;
  const runWorker = async (first: number): Promise<number[]> => {
    const lost: number[] = [];
    let next = first;
    while (next < end) {
      const plan: WorkerPlan = { ...campaign, from: next, seeds: end - next, step: workers };
      const child = Bun.spawn([process.execPath, script, "--worker", JSON.stringify(plan)], {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
        ipc: (report: Report) => {
          next = report.seed + workers;
          timeout.refresh();
          finished(report);
        },
      });
      const timeout = setTimeout(() => child.kill("SIGKILL"), RUN_TIMEOUT_MS);
      await child.exited;
      clearTimeout(timeout);
      if (next >= end) break;
      lost.push(next);
      next += workers;
    }
    return lost;
  };
  const count = Math.min(workers, campaign.seeds);
  const lost = await Promise.all(
    Array.from({ length: count }, (_, index) => runWorker(campaign.from + index)),
  );
  return lost.flat();
}

/**
 * Shrinks a failed run while it still breaks one of the same invariants: to few orders, then to few faults, then to fewer
 * orders.
 *
 * @returns the report of the smallest run that was found
 */
export async function shrink(failed: Report): Promise<Report> {
  const broken = brokenBy(failed);
  let smallest = failed;
  let runs = 0;
  const tryRun = async (orders: number, without: readonly FaultName[]): Promise<boolean> => {
    if (runs >= MAX_SHRINK_RUNS || orders < 1) return false;
    runs += 1;
    const report = await runSeed(
      { orders, replicas: failed.replicas, without, mutant: failed.mutant },
      failed.seed,
    );
    if (brokenBy(report).isDisjointFrom(broken)) return false;
    smallest = report;
    return true;
  };
  for (let orders = 1; orders < failed.orders; orders *= 2) {
    if (await tryRun(orders, failed.without)) break;
  }
  for (const fault of faultNames) {
    if (!smallest.without.includes(fault)) await tryRun(smallest.orders, [...smallest.without, fault]);
  }
  while (await tryRun(smallest.orders - 1, smallest.without));
  return smallest;
}

/** The invariants that a run broke: the beginnings of its violations. */
function brokenBy({ violations }: Report): ReadonlySet<string | undefined> {
  return new Set(violations.map((violation) => violation.split(":")[0]?.replaceAll(/[\d-]+/g, "")));
}
