import { expect, test } from "bun:test";
import { axisOf } from "./axis.ts";

test.each([
  [0.5, "1 ms", 2],
  [43, "50 ms", 6],
  [450, "500 ms", 6],
  [900, "1 s", 6],
  [1_200, "1.5 s", 4],
  [31_000, "40 s", 5],
  [95_000, "120 s", 5],
  [23 * 3_600_000, "24 h", 5],
  [400 * 86_400_000, "400 d", 5],
  [9_000 * 86_400_000, "9000 d", 6],
])("an axis for %p ms ends at %s with %p ticks", (span, last, count) => {
  const { end, ticks } = axisOf(span);
  expect(end).toBeGreaterThanOrEqual(span);
  expect(ticks.at(-1)?.at).toBe(end);
  expect([ticks.at(-1)?.label, ticks.length]).toEqual([last, count]);
});
