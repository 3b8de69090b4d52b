import { anyMachineMayBeLost, hasSeveralMachines } from "./any-machine.ts";
import { anyPartMayBeDown } from "./any-part-down.ts";
import { everyOrderEnds } from "./every-order-ends.ts";
import { inOrder } from "./in-order.ts";
import { kept } from "./kept.ts";
import { neverOversold } from "./never-oversold.ts";
import { once } from "./once.ts";
import type { TourPromise } from "./tour.ts";

/** The promises, in the order of the README. The last one is that of a store with several instances. */
export const promises: readonly TourPromise[] = [
  kept,
  once,
  inOrder,
  neverOversold,
  everyOrderEnds,
  anyPartMayBeDown,
  anyMachineMayBeLost,
];

/** Those that the running store can demonstrate. */
export function shownPromises(): readonly TourPromise[] {
  return hasSeveralMachines() ? promises : promises.filter((promise) => promise !== anyMachineMayBeLost);
}
