import { anyPartMayBeDown } from "./any-part-down.ts";
import { everyOrderEnds } from "./every-order-ends.ts";
import { inOrder } from "./in-order.ts";
import { kept } from "./kept.ts";
import { neverOversold } from "./never-oversold.ts";
import { once } from "./once.ts";
import type { TourPromise } from "./tour.ts";

/** The six promises, in the order of the README. */
export const promises: readonly TourPromise[] = [
  kept,
  once,
  inOrder,
  neverOversold,
  everyOrderEnds,
  anyPartMayBeDown,
];
