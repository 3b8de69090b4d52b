import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Value } from "@sinclair/typebox/value";
import { UsageError } from "../command/command.ts";
import { readOptions, scenarioNames, USAGE } from "./options.ts";
import { Report } from "./report.ts";

const runsSlowTests = process.env.SLOW_TESTS === "true";

async function bench(...args: string[]) {
  const child = Bun.spawn([process.execPath, "scripts/bench.ts", ...args], { cwd: ROOT, stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

test("--help prints the usage and measures nothing", async () => {
  expect(await bench("--help", "rate")).toEqual({ code: 0, stdout: `${USAGE}\n`, stderr: "" });
});

test("an unknown argument ends with 2 and measures nothing", async () => {
  expect(await bench("rate", "speed")).toEqual({
    code: 2,
    stdout: "",
    stderr:
      `bench: there is no scenario speed; the scenarios are ${scenarioNames.join(", ")} ` +
      "(for help: bun run bench --help)\n",
  });
});

test("bench-broker is the scenario broker", async () => {
  const { scripts } = await Bun.file(join(ROOT, "package.json")).json();
  expect(scripts["bench-broker"]).toEndWith(" scripts/bench.ts broker");
});

describe("options", () => {
  test("have defaults, and all scenarios", () => {
    expect(readOptions([])).toMatchObject({
      scenarios: new Set(scenarioNames),
      rounds: 3,
      lengths: { orders: 10_000, atOnce: 1_000, rates: [50, 200, 500, 1_000], seconds: 10 },
    });
    expect(readOptions(["rate", "--orders", "5000"])).toMatchObject({ scenarios: new Set(["rate"]) });
  });

  test.each([
    "--nothing",
    "--outage 0",
    "--history 100,0",
    "--waiting 10",
    "--orders 4999",
    "--rounds 0",
    "--rounds 1.5",
    "--rates 50,,200",
    "--seconds x",
    "--at-once",
  ])("%s is refused", (args) => {
    expect(() => readOptions(args.split(" "))).toThrow(UsageError);
  });
});

test.skipIf(!runsSlowTests)(
  "every scenario runs, as short as it can be",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "bench-"));
    const json = join(folder, "report.json");
    // Watermill has a test of its own, with fewer orders.
    const scenarios = scenarioNames.filter((name) => name !== "watermill");
    try {
      const { code, stdout, stderr } = await bench(
        ...scenarios,
        ...["--rounds", "1", "--orders", "5000", "--rates", "100", "--seconds", "1", "--outage", "500"],
        ...["--arriving", "50", "--history", "500", "--records", "10000", "--waiting", "250"],
        ...["--retained", "5000", "--takeovers", "2"],
        ...["--json", json],
      );
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const report = Value.Parse(Report, await Bun.file(json).json());
      expect(report.scenarios).toEqual(scenarios);
      const sections = new Set(report.comparisons.map(({ section }) => section));
      for (const section of [
        "Idle",
        "At 100 orders a second",
        "Highest rate",
        "Peak",
        "Catch-up with 500 orders",
        "Start, 500 orders of history",
        "Highest rate, 500 orders of history",
        "Highest rate, traces",
        "Highest rate, replication",
        "Change logs, replication",
        "Takeover, after a stop of the leader in good order",
        "Retention, 5,000 orders",
        "Broker: 1 connection, 1 record a request",
        "Start of the embedded broker with 10,000 records",
        "Units of work, each fsynced before it is answered",
        "250 orders wait: one product",
      ]) {
        expect(sections).toContain(section);
        expect(stdout).toContain(`\n${section}\n`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  900_000,
);
