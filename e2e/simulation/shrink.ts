import { type FaultName, faultNames } from "./faults.ts";
import { type Report, simulate } from "./simulate.ts";
import type { WorldOptions } from "./world.ts";

/** Runs that are spent on making a failure smaller. */
const MOST_RUNS = 80;

/**
 * Makes a run that failed smaller for as long as it still breaks the same promise: fewer orders, by halves and then
 * one by one, and without the faults that have nothing to do with it.
 *
 * @param failing options and report of a run that failed
 * @returns the report of the smallest one that was found
 */
export async function shrink(options: WorldOptions, failing: Report): Promise<Report> {
  const kind = kindOf(failing);
  let smallest = failing;
  let runs = 0;
  const tryTo = async (orders: number, without: readonly FaultName[]): Promise<boolean> => {
    if (runs >= MOST_RUNS || orders < 1) return false;
    runs += 1;
    const report = await simulate({ ...options, orders, without: new Set(without) });
    if (kindOf(report) !== kind) return false;
    smallest = report;
    return true;
  };
  while (await tryTo(Math.floor(smallest.orders / 2), smallest.without));
  for (const fault of faultNames) {
    if (!smallest.without.includes(fault)) await tryTo(smallest.orders, [...smallest.without, fault]);
  }
  while (await tryTo(Math.floor(smallest.orders / 2), smallest.without));
  while (await tryTo(smallest.orders - 1, smallest.without));
  return smallest;
}

/** Which promise was broken first. */
function kindOf({ violations: [first] }: Report): string | undefined {
  return first?.split(":")[0]?.replaceAll(/[\d-]+/g, "");
}
