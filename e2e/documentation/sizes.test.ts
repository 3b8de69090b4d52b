import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

interface Report {
  readonly machine: string;
  readonly comparisons: readonly {
    readonly section: string;
    readonly name: string;
    readonly values: Readonly<Record<string, readonly number[]>>;
  }[];
}

const reports: Report[] = JSON.parse(readFileSync(join(ROOT, "docs/performance.json"), "utf8"));
const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
const RATES = ["50", "200", "500", "1,000"];
const DAY_S = 86_400;

/** The median of the rounds, of the last run that measured it. */
function measured(section: string, name: string, of = "store"): number {
  const found = reports
    .flatMap(({ comparisons }) => comparisons)
    .findLast((one) => one.section === section && one.name === name && of in one.values);
  const rounds = found?.values[of]?.toSorted((one, other) => one - other) ?? [];
  const half = rounds.length / 2;
  const median = ((rounds[Math.ceil(half) - 1] ?? Number.NaN) + (rounds[Math.floor(half)] ?? Number.NaN)) / 2;
  if (Number.isNaN(median)) throw new Error(`docs/performance.json has no ${section}: ${name}`);
  return median;
}

function row(rate: number, section: string, latency: (name: string) => string): string[] {
  const kilobytes = measured(
    "Disk, 1,000,000 orders of history",
    "disk of an order, all",
    "1,000,000 orders",
  );
  return [
    rate.toLocaleString("en"),
    latency("accepted, p99"),
    latency("confirmed, p99"),
    ((rate * measured(section, "CPU of an order, all")) / 1_000).toFixed(1),
    ((rate * DAY_S * kilobytes) / 1_000_000).toFixed(0),
  ];
}

test("the table of sizes in docs/operations.md has what the benchmark measured", () => {
  const highest = Math.round(measured("Highest rate", "orders"));
  const rows = [
    ["orders a second", "accepted, p99 in ms", "confirmed, p99 in ms", "CPU in cores", "disk in GB a day"],
    ...RATES.map((rate) => {
      const section = `At ${rate} orders a second`;
      return row(Number(rate.replace(",", "")), section, (name) => measured(section, name).toFixed(0));
    }),
    row(highest, "Highest rate", () => "–"),
  ];
  const chapter = /^## Sizes$([\s\S]*?)^## /m.exec(page)?.[1] ?? "";
  const shown = chapter
    .split("\n")
    .filter((line) => line.startsWith("|") && !line.startsWith("| -"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(shown).toEqual(rows);
  const memory = (section: string, name: string) => `${measured(section, name).toFixed(0)} MB`;
  expect(chapter).toContain(`At rest the store takes ${memory("Idle", "memory, all")} of memory`);
  expect(chapter).toContain(`at its highest rate ${memory("Peak", "memory, all")}`);
  expect(chapter).toContain(`the gateway ${memory("Peak", "memory, api-gateway")}`);
  expect(chapter).toContain(reports[0]?.machine ?? "");
});
