import { expect, test } from "bun:test";
import { join } from "node:path";
import { faultNames } from "./faults.ts";
import { mutations } from "./mutations.ts";
import { describeFailure, Totals } from "./report.ts";
import { shrink } from "./shrink.ts";
import { type Report, simulate } from "./simulate.ts";

/** Enough for a slow machine with other things to do. */
const TIMEOUT_MS = 240_000;
/** Few orders a seed: what goes wrong mostly does so between few messages, and many seeds differ in more ways. */
const ORDERS = 12;
const SEEDS_A_TEST = 40;
const TESTS = 5;

const totals = new Totals();

for (let index = 0; index < TESTS; index += 1) {
  const from = 1 + index * SEEDS_A_TEST;
  test(
    `every promise is kept under every fault: seeds ${from} to ${from + SEEDS_A_TEST - 1}`,
    async () => {
      for (let seed = from; seed < from + SEEDS_A_TEST; seed += 1) {
        const report = await simulate({ seed, orders: ORDERS });
        if (report.violations.length > 0) throw new Error(describeFailure(report));
        totals.add(report);
      }
    },
    TIMEOUT_MS,
  );
}

test("over these seeds every fault has struck, and orders were accepted all the while", () => {
  expect(faultNames.filter((name) => (totals.struck.get(name) ?? 0) === 0)).toEqual([]);
  expect(totals.accepted).toBeGreaterThan(0.9 * totals.orders);
});

test(
  "the same seed is the same run, also in another process; another seed is another",
  async () => {
    const first = await simulate({ seed: 7, orders: ORDERS });
    expect(await simulate({ seed: 7, orders: ORDERS })).toEqual(first);
    expect((await simulate({ seed: 8, orders: ORDERS })).digest).not.toBe(first.digest);
    const script = join(import.meta.dir, "../../scripts/simulate.ts");
    const { stdout } = Bun.spawnSync([
      ...[process.execPath, script, "--trace"],
      ...["--seeds", "1", "--from", "7", "--orders", String(ORDERS)],
    ]);
    expect(stdout.toString().trim().split("\n").at(-1)).toBe(`trace ${first.digest}, 0 violations`);
  },
  TIMEOUT_MS,
);

/** The first seed that notices that a protection is gone. */
async function firstToNotice(mutation: (typeof mutations)[number]): Promise<Report> {
  for (let seed = 1; seed <= 150; seed += 1) {
    const report = await simulate({ seed, orders: ORDERS, mutation });
    if (report.violations.length > 0) return report;
  }
  throw new Error("nobody notices");
}

for (const mutation of mutations) {
  test(
    `take a protection away: ${mutation.name}`,
    async () => {
      const { violations } = await firstToNotice(mutation);
      expect(violations.length).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
}

test(
  "a run that failed is made smaller, and says how to make it again",
  async () => {
    const [mutation] = mutations;
    if (mutation === undefined) throw new Error("there are no mutations");
    const failed = await firstToNotice(mutation);
    const smallest = await shrink({ seed: failed.seed, orders: failed.orders, mutation }, failed);
    expect(smallest.violations.length).toBeGreaterThan(0);
    expect(smallest.orders).toBeLessThan(failed.orders);
    expect(smallest.without.length).toBeGreaterThan(faultNames.length / 2);
    expect(describeFailure(smallest)).toContain(
      `--seeds 1 --from ${failed.seed} --orders ${smallest.orders}`,
    );
  },
  TIMEOUT_MS,
);
