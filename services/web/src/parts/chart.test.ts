import { expect, test } from "bun:test";
import { pathOf, roundUp } from "./chart.tsx";

test("a line has a gap for each unknown value and ends at the right edge", () => {
  expect(pathOf([], 3, 10)).toBe("");
  expect(pathOf([0, 10, null, 5], 4, 10)).toBe("M0.0 94.0h0L100.0 2.0M300.0 48.0h0");
});

test("a scale ends at a round number", () => {
  expect([1, 1.5, 2, 3, 7, 10, 11, 499, 5_001].map(roundUp)).toEqual([1, 2, 2, 5, 10, 10, 20, 500, 10_000]);
});
