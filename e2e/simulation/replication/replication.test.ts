import { expect, test } from "bun:test";
import { runsSlowTests } from "../../support/slow-test.ts";
import { runReplication } from "./run.ts";

/** Enough for a slow machine under load. */
const TIMEOUT_MS = 240_000;
const PAYMENTS = 30;
const SEEDS_PER_TEST = 10;
/** In the runs from this one on, all that the tests count occurs often, also in the first few. */
const FIRST_SEED = 21;
/** Without the slow tests as many as need to be, for leaders to change often. */
const TESTS = runsSlowTests ? 4 : 1;

let leaders = 0;
let restored = 0;
let trimmed = 0;
let answered = 0;
let outdated = 0;
/** How many runs ended with each schema, by its steps. */
const schemas = new Map<number, number>();

for (let index = 0; index < TESTS; index += 1) {
  const from = FIRST_SEED + index * SEEDS_PER_TEST;
  test(
    `a replicated service keeps its promises under every fault: seeds ${from} to ${from + SEEDS_PER_TEST - 1}`,
    () => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed += 1) {
        const outcome = runReplication(seed, PAYMENTS);
        if (outcome.violations.length > 0) {
          throw new Error([`seed ${seed}`, ...outcome.violations, ...outcome.trace].join("\n"));
        }
        leaders += outcome.leaders;
        restored += outcome.restored;
        if (outcome.trimmed > 0) trimmed += 1;
        answered += outcome.answered;
        outdated += outcome.outdated;
        schemas.set(outcome.steps, (schemas.get(outcome.steps) ?? 0) + 1);
      }
    },
    TIMEOUT_MS,
  );
}

test("over these seeds the leader changes often, many requests are answered, and snapshots take the place of the log", () => {
  const runs = TESTS * SEEDS_PER_TEST;
  expect(leaders).toBeGreaterThan(3 * runs);
  expect(restored).toBeGreaterThan(runs);
  expect(trimmed).toBeGreaterThan(runs / 2);
  expect(answered).toBeGreaterThan((PAYMENTS / 3) * runs);
});

test("equal seeds give equal runs", () => {
  const { digest, ...first } = runReplication(3, PAYMENTS);
  expect(runReplication(3, PAYMENTS)).toEqual({ digest, ...first });
  expect(runReplication(4, PAYMENTS).digest).not.toBe(digest);
});

test("over these seeds versions are upgraded and rolled back, and older ones meet a schema that they do not know", () => {
  expect(schemas.get(2)).toBeGreaterThan(TESTS);
  expect(schemas.get(3)).toBeGreaterThan(TESTS);
  expect(outdated).toBeGreaterThan(TESTS);
});
