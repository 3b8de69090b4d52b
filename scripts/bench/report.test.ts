import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { UsageError } from "../command/command.ts";
import { compare, medianOf, ratioOf } from "./comparison.ts";
import { asText, type Report } from "./report.ts";
import { chart, requireWritable, save, savedReports, tables } from "./save.ts";
import { outcomes } from "./targets.ts";

const report: Report = {
  command: "bun run bench rate",
  startedAt: "2026-01-02T03:04:05.000Z",
  machine: "2 × processor",
  loadBefore: 0.1,
  scenarios: ["rate"],
  rounds: 3,
  comparisons: [
    {
      section: "Highest rate",
      name: "orders",
      unit: "a second",
      values: { store: [10, 30, 20], floor: [40, 40, 80] },
    },
    {
      section: "Idle",
      name: "CPU, all",
      unit: "% of a core",
      values: { store: [1, 1, 1], floor: [0, 0, 0] },
    },
  ],
  limits: [],
};

test("store and floor take turns, and the values of a round are compared with each other", async () => {
  const turns: string[] = [];
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const comparisons = await compare(["store", "floor"], 3, say, async (system, round) => {
    turns.push(`${system} ${round}`);
    const value = system === "store" ? round : 10 * round;
    return [{ section: "S", name: "figure", unit: "ms", value }];
  });
  expect(turns).toEqual(["store 1", "floor 1", "floor 2", "store 2", "store 3", "floor 3"]);
  expect(said).toHaveLength(turns.length);
  expect(said[0]).toBe("round 1 of 3: store");
  expect(said[5]).toMatch(/^round 3 of 3: floor, about \d+ s left$/);
  expect(comparisons).toEqual([
    { section: "S", name: "figure", unit: "ms", values: { store: [1, 2, 3], floor: [10, 20, 30] } },
  ]);
});

test("the ratio is the median of the ratios of the rounds; a floor of 0 has none", () => {
  const [rate, idle] = report.comparisons;
  if (rate === undefined || idle === undefined) throw new Error("two comparisons");
  expect(ratioOf(rate)).toEqual({ median: 0.25, lowest: 0.25, highest: 0.75 });
  expect(ratioOf(idle)).toBeUndefined();
  expect([medianOf([3, 1, 2]), medianOf([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test("the ratio comes before the figures, and what limits their worth is said", () => {
  expect(asText(report)).toContain("orders  0.25   0.25–0.75       20.0   40.0   a second");
  expect(asText(report)).not.toContain("Other work");
  const limited = asText({
    ...report,
    loadBefore: 7,
    limits: ["round 1, floor: the load generator was busy"],
  });
  expect(limited).toContain("Other work was going on: 7 processes");
  expect(limited).toContain("- round 1, floor: the load generator was busy");
});

test("of each target, the worst figure counts, and one that is missed is called so", () => {
  const at = (rate: string, store: number) => ({
    ...{ section: `At ${rate} orders a second`, name: "notified, p50", unit: "ms" },
    values: { store: [store], floor: [10] },
  });
  const rate = {
    section: "Highest rate",
    name: "orders",
    unit: "a second",
    values: { store: [70], floor: [100] },
  };
  const idle = {
    section: "Idle",
    name: "CPU, all",
    unit: "% of a core",
    values: { store: [2.5], floor: [1] },
  };
  const none = { section: "Start", name: "start-up, all", unit: "ms", values: { store: [1] } };
  expect(outcomes([at("50", 12), at("1,000", 14), rate, idle, none])).toEqual([
    { what: "Highest rate, to the floor's", wanted: "at least 0.65", measured: 0.7, unit: "", isMet: true },
    {
      what: "Notified, p50, at steady rates, to the floor's",
      ...{ wanted: "at most 1.3", measured: 1.4, unit: "", isMet: false },
    },
    { what: "Idle, all processes, of a core", wanted: "at most 2 %", measured: 2.5, unit: "%", isMet: false },
  ]);
  const text = asText({ ...report, comparisons: [at("50", 13), idle] });
  expect(text).toMatch(/Notified, p50, at steady rates, to the floor's +at most 1.3 +1.30 +met\n/);
  expect(text).toMatch(/Idle, all processes, of a core +at most 2 % +2.50 % +missed/);
});

test("figures without anything to compare them with have no columns for a ratio, and no place in the chart", () => {
  const alone = { section: "Waiting", name: "a restock", unit: "ms", values: { inventory: [1, 3, 2] } };
  const text = asText({ ...report, comparisons: [alone] });
  expect(text).toBe("Waiting\n             inventory\n  a restock  2.00       ms");
  expect(chart([{ ...report, comparisons: [alone] }])).not.toContain("Waiting");
});

test("a report takes the place of earlier ones without another scenario", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    for (const scenarios of [["rate"], ["idle"], ["growth", "rate"], ["idle", "rate"]]) {
      save(folder, { ...report, scenarios });
    }
    expect(savedReports(folder).map(({ scenarios }) => scenarios)).toEqual([
      ["growth", "rate"],
      ["idle", "rate"],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a saved report takes the place of an earlier one of the same scenarios, in all three files", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    save(folder, { ...report, command: "first" });
    save(folder, { ...report, command: "second", scenarios: ["idle"] });
    save(folder, { ...report, command: "third" });
    const commands = savedReports(folder).map(({ command }) => command);
    expect(commands).toEqual(["second", "third"]);
    const page = read("performance.md");
    expect(page).toBe(`# Performance\n\n${tables(savedReports(folder))}\n`);
    expect(page).toContain("| orders, a second | 0.25  | 0.25–0.75      | 20.0  | 40.0  |");
    expect(read("performance.svg").match(/<circle/g)).toHaveLength(2);
    writeFileSync(join(folder, "performance.json"), "{}");
    expect(() => save(folder, report)).toThrow("was not written by this command");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/performance.md and its chart are what the command made of docs/performance.json", () => {
  const docs = join(ROOT, "docs");
  const reports = savedReports(docs);
  expect(reports.length).toBeGreaterThan(0);
  expect(readFileSync(join(docs, "performance.md"), "utf8")).toContain(`\n${tables(reports)}\n`);
  expect(readFileSync(join(docs, "performance.svg"), "utf8")).toBe(chart(reports));
});

test("where a report cannot be written is refused before anything is measured", () => {
  const folder = mkdtempSync(join(tmpdir(), "report-"));
  const file = join(folder, "report.json");
  const missing = join(folder, "missing");
  const trial = (json?: string, to?: string) => () => requireWritable({ json, save: to });
  try {
    writeFileSync(file, "an earlier one");
    for (const accepted of [trial(), trial(file), trial("report.json"), trial(undefined, folder)]) {
      expect(accepted).not.toThrow();
    }
    for (const refused of [
      trial(join(missing, "report.json")),
      trial(join(file, "report.json")),
      trial(folder),
      trial(undefined, missing),
      trial(undefined, file),
    ]) {
      expect(refused).toThrow(UsageError);
    }
    writeFileSync(join(folder, "performance.json"), "{}");
    expect(trial(undefined, folder)).toThrow("was not written by this command");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
