import { expect, test } from "bun:test";
import { join } from "node:path";
import { runsSlowTests, slowTest } from "../support/slow-test.ts";
import { runSeed, shrink } from "./campaign.ts";
import { faultNames, replicaFaults } from "./faults.ts";
import { mutants } from "./mutants.ts";
import { describeFailure, type Report, Totals } from "./report.ts";

/** Enough for a slow machine under load. */
const TIMEOUT_MS = 240_000;
/** Few orders in many runs: most bugs need few messages, and runs differ most by their seeds. */
const ORDERS = 12;
const SEEDS_PER_TEST = runsSlowTests ? 40 : 20;
/** Without the slow tests as many as need to be, for every fault to occur. */
const TESTS = runsSlowTests ? 5 : 1;
/** Of the mutants without the slow tests, every n-th. */
const MUTANTS_APART = runsSlowTests ? 1 : 24;
const MAX_SEEDS_PER_MUTANT = 150;
/** Of runs in which services are replicated, which take longer. */
const REPLICATED_SEEDS_PER_TEST = runsSlowTests ? 20 : 6;
const REPLICAS = 2;

const totals = new Totals();
const replicatedTotals = new Totals();

const run = (seed: number, mutant?: string) => runSeed({ orders: ORDERS, without: [], mutant }, seed);

for (let index = 0; index < TESTS; index += 1) {
  const from = 1 + index * SEEDS_PER_TEST;
  test(
    `every invariant holds under every fault: seeds ${from} to ${from + SEEDS_PER_TEST - 1}`,
    async () => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed += 1) {
        const report = await run(seed);
        if (report.violations.length > 0) throw new Error(describeFailure(report));
        totals.add(report);
      }
    },
    TIMEOUT_MS,
  );
}

test("over these seeds every fault occurs, and nearly all orders are accepted", () => {
  const never = [...totals.faults].filter(([, count]) => count === 0);
  expect(never.map(([name]) => name)).toEqual([...replicaFaults]);
  expect(totals.accepted).toBeGreaterThan(0.9 * totals.orders);
  // They say little.
  expect(totals.abandoned).toBeLessThan(0.1 * totals.runs);
});

for (let index = 0; index < TESTS; index += 1) {
  const from = 1 + index * REPLICATED_SEEDS_PER_TEST;
  test(
    `every invariant holds where services are replicated: seeds ${from} to ${from + REPLICATED_SEEDS_PER_TEST - 1}`,
    async () => {
      for (let seed = from; seed < from + REPLICATED_SEEDS_PER_TEST; seed += 1) {
        const report = await runSeed(
          { orders: ORDERS, replicas: REPLICAS, without: [], mutant: undefined },
          seed,
        );
        if (report.violations.length > 0) throw new Error(describeFailure(report));
        replicatedTotals.add(report);
      }
    },
    TIMEOUT_MS,
  );
}

test("over these seeds machines are lost, leaders are paused, and nearly all orders are accepted", () => {
  for (const fault of replicaFaults) expect(replicatedTotals.faults.get(fault)).toBeGreaterThan(0);
  expect(replicatedTotals.accepted).toBeGreaterThan(0.9 * replicatedTotals.orders);
  expect(replicatedTotals.leaders).toBeGreaterThan(5 * replicatedTotals.runs);
});

slowTest(
  "equal seeds give equal runs, also in another process, and other seeds give others",
  async () => {
    const first = await run(7);
    expect(await run(7)).toEqual(first);
    expect((await run(8)).digest).not.toBe(first.digest);
    const replicated = { orders: ORDERS, replicas: REPLICAS, without: [], mutant: undefined };
    expect((await runSeed(replicated, 7)).digest).toBe((await runSeed(replicated, 7)).digest);
    const script = join(import.meta.dir, "../../scripts/simulate.ts");
    const { stdout } = Bun.spawnSync([
      ...[process.execPath, script, "--trace"],
      ...["--seeds", "1", "--from", "7", "--orders", String(ORDERS)],
    ]);
    expect(stdout.toString().trim().split("\n").at(-1)).toBe(`trace ${first.digest}, 0 violations`);
  },
  TIMEOUT_MS,
);

/** The report of the first seed, after others, that detects a mutant. */
async function detect(mutant: string, after = 0): Promise<Report> {
  for (let seed = after + 1; seed <= MAX_SEEDS_PER_MUTANT; seed += 1) {
    const report = await run(seed, mutant);
    if (report.violations.length > 0) return report;
  }
  throw new Error(`no seed up to ${MAX_SEEDS_PER_MUTANT} detects it`);
}

for (const { name } of mutants.filter((_, index) => index % MUTANTS_APART === 0)) {
  test(
    `mutant is detected: ${name}`,
    async () => {
      expect((await detect(name)).violations.length).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
}

slowTest(
  "a failed run is shrunk, and described with the command that repeats it",
  async () => {
    const mutant = mutants[0]?.name ?? "";
    let failed = await detect(mutant);
    let smallest = await shrink(failed);
    // A seed may need each of its orders for its schedule.
    for (let tries = 1; tries < 3 && smallest.orders === failed.orders; tries += 1) {
      failed = await detect(mutant, failed.seed);
      smallest = await shrink(failed);
    }
    expect(smallest.violations.length).toBeGreaterThan(0);
    expect(smallest.orders).toBeLessThan(failed.orders);
    expect(smallest.without.length).toBeGreaterThan(faultNames.length / 2);
    expect(describeFailure(smallest)).toContain(
      `--seeds 1 --from ${failed.seed} --orders ${smallest.orders}`,
    );
  },
  TIMEOUT_MS,
);
