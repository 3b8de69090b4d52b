import { expect, test } from "bun:test";
import { duration, money, plural } from "./format.ts";

test("amounts are formatted with the decimals of their currency", () => {
  expect(money({ amount: 123_456, currency: "EUR" })).toContain("1,234.56");
  expect(money({ amount: 500, currency: "JPY" })).toContain("500");
  expect(money({ amount: 1_000_000_000_000_000, currency: "EUR" })).toContain("10,000,000,000,000.00");
});

test("durations and counts are short", () => {
  expect([0, 999, 1_000, 59_900, 61_000].map(duration)).toEqual([
    "0 ms",
    "999 ms",
    "1.0 s",
    "59.9 s",
    "1 min 1 s",
  ]);
  expect([plural(1, "order"), plural(0, "order"), plural(2, "is", "are")]).toEqual([
    "1 order",
    "0 orders",
    "2 are",
  ]);
});
