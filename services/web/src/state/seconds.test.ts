import { expect, test } from "bun:test";
import { percentile } from "./throughput.ts";

test("percentiles are by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([
    percentile(hundred, 0.5),
    percentile(hundred, 0.99),
    percentile([7], 0.99),
    percentile([], 0.5),
  ]).toEqual([50, 99, 7, undefined]);
});
