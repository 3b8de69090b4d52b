import type { FaultName } from "./faults.ts";
import { World, type WorldOptions } from "./world.ts";

/** What came of a run. It can be sent from one process to another as JSON. */
export interface Report {
  readonly seed: number;
  readonly orders: number;
  readonly without: readonly FaultName[];
  /** The protection that was taken away, if one was. */
  readonly mutation?: string;
  /** Empty when every promise was kept. */
  readonly violations: readonly string[];
  /** The same for every run with the same options. */
  readonly digest: string;
  /** Orders whose customers were told so. */
  readonly accepted: number;
  readonly crashes: number;
  readonly steps: number;
  /** How long it took, in the world that was simulated. */
  readonly virtualMs: number;
  /** How often each fault has struck. */
  readonly struck: readonly (readonly [FaultName, number])[];
  /** The last lines of the trace, when it failed. */
  readonly tail: readonly string[];
}

const TAIL_LINES = 60;

/** Runs the whole store once. The same options give the same report, on every machine. */
export async function simulate(options: WorldOptions): Promise<Report> {
  const { seed, orders, without = new Set(), mutation } = options;
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
    seed,
    orders,
    without: [...without],
    ...(mutation === undefined ? {} : { mutation: mutation.name }),
    violations: world.violations,
    digest: world.trace.digest,
    accepted: world.workload.accepted.length,
    crashes: world.processes.reduce((sum, { crashes }) => sum + crashes, 0),
    steps: world.scheduler.steps,
    virtualMs: world.scheduler.nowMs,
    struck: [...world.faults.struck],
    tail: world.violations.length > 0 ? world.trace.tail(TAIL_LINES) : [],
  };
}
