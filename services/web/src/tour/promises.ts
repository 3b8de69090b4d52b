import { everyOrderEnds } from "./ends.ts";
import { inOrder } from "./in-order.ts";
import { kept } from "./kept.ts";
import { once } from "./once.ts";
import { anyPartMayBeDown } from "./outage.ts";
import { neverOversold } from "./oversold.ts";
import type { TourPromise } from "./tour.ts";

/** The six promises of the store, in the order of the README. */
export const promises: readonly TourPromise[] = [
  kept,
  once,
  inOrder,
  neverOversold,
  everyOrderEnds,
  anyPartMayBeDown,
];
