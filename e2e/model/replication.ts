import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provideJars } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { runToEnd } from "../support/run-to-end.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

/** For a slow machine under load, with the download. */
const TIMEOUT_MS = 600_000;
/** Of TLC: an invariant does not hold. */
const VIOLATED = 12;
const SPECIFICATION = "Replication.tla";
const CONFIGURATION = readFileSync(join(import.meta.dir, "Replication.cfg"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "model-"));

/** Each rule, and an invariant that does not hold without it. */
const RULES = {
  "lead after the own claim was read": "NothingLost",
  "a deposed leader stores nothing": "OneHistory",
  "tell after the group was read": "NothingOfDeposed",
  "of two claims, the first": "OneHistory",
  "a claim is of one process": "OneHistory",
  "set a diverged file aside": "OneHistory",
  "stop when deposed": "NothingLost",
  "compare the epoch": "OneHistory",
  "in the order of numbers": "OneHistory",
};

/** Explores the model. @param replacements of parts of its configuration */
async function check(replacements: Readonly<Record<string, string>>) {
  let configuration = CONFIGURATION;
  for (const [part, replacement] of Object.entries(replacements)) {
    expect(configuration).toContain(part);
    configuration = configuration.replace(part, replacement);
  }
  const file = join(folder, "model.cfg");
  writeFileSync(file, configuration);
  const { java, classPath } = await provideJars(join(import.meta.dir, "pom.xml"), "the jar of TLC");
  const flags = ["-XX:+UseParallelGC", "-XX:-UsePerfData", "-Xmx1g", `-Djava.io.tmpdir=${folder}`];
  const options = ["-workers", "auto", "-metadir", join(folder, "states"), "-config", file];
  return await runToEnd([java, ...flags, "-cp", classPath, "tlc2.TLC", ...options, SPECIFICATION], {
    cwd: import.meta.dir,
    env: process.env,
  });
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

for (const [name, replacements] of [
  ["two epochs and two groups", {}],
  ["three epochs and one group", { "MaxEpoch = 2": "MaxEpoch = 3", "MaxGroup = 2": "MaxGroup = 1" }],
] as const) {
  test(
    `the protocol keeps what it promises: ${name}`,
    async () => {
      const { exitCode, stdout } = await check(replacements);
      expect(stdout).toContain("Model checking completed. No error has been found.");
      expect(exitCode).toBe(0);
    },
    TIMEOUT_MS,
  );
}

describe("without a rule it does not", () => {
  for (const [rule, invariant] of Object.entries(RULES)) {
    test(
      rule,
      async () => {
        const { exitCode, stdout } = await check({
          "Without = {}": `Without = {"${rule}"}`,
          [/^INVARIANTS .*$/m.exec(CONFIGURATION)?.[0] ?? "INVARIANTS"]: `INVARIANT ${invariant}`,
        });
        expect(stdout).toContain(`Invariant ${invariant} is violated.`);
        expect(exitCode).toBe(VIOLATED);
      },
      TIMEOUT_MS,
    );
  }

  test("these are all rules of the model", () => {
    const named = readFileSync(join(import.meta.dir, SPECIFICATION), "utf8").matchAll(/Rule\("([^"]+)"\)/g);
    expect(new Set([...named].map(([, rule]) => rule))).toEqual(new Set(Object.keys(RULES)));
  });
});
