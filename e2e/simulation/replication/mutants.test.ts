import { describe, expect } from "bun:test";
import { join } from "node:path";
import { runToEnd } from "../../support/run-to-end.ts";
import { slowTest } from "../../support/slow-test.ts";
import { codeMutants } from "./mutants.ts";

/** Enough for a slow machine under load. */
const TIMEOUT_MS = 240_000;
const MAX_SEEDS_PER_MUTANT = 150;

describe("without a rule of the protocol a promise is broken", () => {
  const mutate = join(import.meta.dir, "mutate.ts");
  const detect = [process.execPath, "--preload", mutate, join(import.meta.dir, "detect.ts")];
  const kit = "../../../shared/messaging";
  const files = [
    ...["replica.test.ts", "snapshots.test.ts"],
    ...["replication/changes", "ownership/ownership", "effects/effects"].map(
      (name) => `${kit}/${name}.test.ts`,
    ),
  ].map((name) => join(import.meta.dir, name));
  const tests = [process.execPath, "test", "--preload", mutate, ...files];

  for (const [index, { name, test: noticedBy, store }] of codeMutants.entries()) {
    const run = (command: readonly string[]) =>
      runToEnd([...command], { cwd: import.meta.dir, env: { ...process.env, MUTANT: String(index) } });
    if (noticedBy !== undefined) {
      slowTest(
        name,
        async () => {
          const { exitCode, stderr } = await run([...tests, "--test-name-pattern", noticedBy]);
          expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^ 1 fail$/m)]);
          expect(stderr).toContain(`(fail) ${noticedBy}`);
        },
        TIMEOUT_MS,
      );
    }
    if (noticedBy === undefined || store === true) {
      slowTest(
        store === true ? `${name}, in the store` : name,
        async () => {
          const { exitCode, stdout } = await run([...detect, String(MAX_SEEDS_PER_MUTANT)]);
          expect([exitCode, stdout]).toEqual([3, expect.stringMatching(/^seed \d+: /)]);
        },
        TIMEOUT_MS,
      );
    }
  }
});
