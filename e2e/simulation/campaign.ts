import type { FaultName } from "./faults.ts";
import type { Report } from "./simulate.ts";

/** Which runs to make. */
export interface Campaign {
  readonly from: number;
  readonly seeds: number;
  readonly orders: number;
  readonly without: readonly FaultName[];
  /** The name of a protection to take away. */
  readonly mutation: string | undefined;
}

/** A worker's process: what it is told on the command line, and the one line that it writes for each seed. */
export interface WorkerPlan extends Campaign {
  /** Every so many seeds are this worker's. */
  readonly step: number;
}

/** Nothing takes so long: a run that does goes round in a circle within one event. */
const STUCK_MS = 180_000;

/**
 * Makes the runs in processes of their own, each with a share of the seeds.
 *
 * @param script what a worker's process runs, with its plan as the only argument
 * @param finished called with each report, in any order
 * @returns the seeds that never ended, or took their process with them
 */
export async function runCampaign(
  campaign: Campaign,
  workers: number,
  script: string,
  finished: (report: Report) => void,
): Promise<number[]> {
  const lost = await Promise.all(
    Array.from({ length: Math.min(workers, campaign.seeds) }, (_, index) =>
      runWorker({ ...campaign, from: campaign.from + index, step: workers }, campaign, script, finished),
    ),
  );
  return lost.flat();
}

async function runWorker(
  plan: WorkerPlan,
  { from, seeds }: Campaign,
  script: string,
  finished: (report: Report) => void,
): Promise<number[]> {
  const lost: number[] = [];
  let next = plan.from;
  while (next < from + seeds) {
    const share = { ...plan, from: next, seeds: from + seeds - next };
    const child = Bun.spawn([process.execPath, script, "--worker", JSON.stringify(share)], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      ipc: (report: Report) => {
        next = report.seed + plan.step;
        stuck.refresh();
        finished(report);
      },
    });
    const stuck = setTimeout(() => child.kill("SIGKILL"), STUCK_MS);
    await child.exited;
    clearTimeout(stuck);
    if (next >= from + seeds) break;
    lost.push(next);
    next += plan.step;
  }
  return lost;
}
