import { expect, test } from "bun:test";
import { percentile, runOf } from "./seconds.ts";

test("percentiles are by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([
    percentile(hundred, 0.5),
    percentile(hundred, 0.99),
    percentile([7], 0.99),
    percentile([], 0.5),
  ]).toEqual([50, 99, 7, undefined]);
});

test("the charts begin shortly before the first order, outage or backlog, and show 15 seconds at least", () => {
  const idle = { accepted: 0, confirmed: 0, oldestAgeS: 0, lag: 0, outage: false };
  const after = (before: number, second: object, rest: number) => [
    ...Array.from({ length: before }, () => idle),
    { ...idle, ...second },
    ...Array.from({ length: rest }, () => idle),
  ];
  expect(runOf([])).toEqual([]);
  expect(runOf(after(3, {}, 2))).toHaveLength(6);
  expect(runOf(after(60, {}, 29))).toHaveLength(15);
  expect(runOf(after(84, { accepted: 1 }, 5))).toHaveLength(15);
  for (const second of [
    { accepted: 1 },
    { confirmed: 1 },
    { lag: 1 },
    { oldestAgeS: 0.5 },
    { outage: true },
  ]) {
    expect(runOf(after(60, second, 29))).toHaveLength(32);
  }
  expect(runOf(after(0, { accepted: 1 }, 89))).toHaveLength(90);
});
