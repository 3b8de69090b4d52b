import { describe, expect, test } from "bun:test";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { UsageError } from "../command/command.ts";
import { readOptions, scenarioNames, USAGE } from "./options.ts";

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
    stderr: `bench: there is no scenario speed; the scenarios are ${scenarioNames.join(", ")}\n`,
  });
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
  "store and floor run, every order is confirmed, and the ratio is printed",
  async () => {
    const { code, stdout, stderr } = await bench(
      ...["catch-up", "--rounds", "1", "--orders", "5000", "--outage", "500", "--arriving", "20"],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/Highest rate\n +ratio +lowest–highest +store +floor\n +orders +\d\.\d\d /);
    expect(stdout).toMatch(
      /Catch-up with 500 orders\n +ratio +lowest–highest +store +floor\n +orders +\d\.\d\d /,
    );
  },
  300_000,
);
