import type { FaultName } from "./faults.ts";
import { World, type WorldOptions } from "./world.ts";

/** What came of a run. */
export interface Report {
  readonly seed: number;
  readonly orders: number;
  readonly without: readonly FaultName[];
  /** Empty when every promise was kept. */
  readonly violations: readonly string[];
  /** The same for every run with the same options. */
  readonly digest: string;
  readonly accepted: number;
  readonly crashes: number;
  readonly steps: number;
  /** How long it took, in the world that was simulated. */
  readonly virtualMs: number;
  /** How often each fault has struck. */
  readonly struck: ReadonlyMap<FaultName, number>;
  /** The last lines of the trace. */
  readonly tail: readonly string[];
}

const TAIL_LINES = 60;

/** Runs the whole store once. The same options give the same report, on every machine. */
export async function simulate(options: WorldOptions): Promise<Report> {
  const world = new World(options);
  const onRejection = (error: unknown) => {
    world.violation(
      `a rejection that nobody heard of: ${error instanceof Error ? error.stack : String(error)}`,
    );
  };
  process.on("unhandledRejection", onRejection);
  world.run();
  // The engine tells of unheard rejections when it is back in its own loop, not before.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", onRejection);
  return {
    seed: options.seed,
    orders: options.orders,
    without: [...(options.without ?? [])],
    violations: world.violations,
    digest: world.trace.digest,
    accepted: world.workload.accepted.length,
    crashes: world.processes.reduce((sum, { crashes }) => sum + crashes, 0),
    steps: world.scheduler.steps,
    virtualMs: world.scheduler.nowMs,
    struck: world.faults.struck,
    tail: world.trace.tail(TAIL_LINES),
  };
}
