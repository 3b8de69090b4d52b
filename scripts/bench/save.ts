import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { requireWritableFile, UsageError } from "../command/command.ts";
import { chartOf } from "./chart.ts";
import type { BenchOptions } from "./options.ts";
import { asMarkdown, Report, targetsAsMarkdown } from "./report.ts";

const Reports = Type.Array(Report);
/** What the chart shows of all figures. */
const CHARTED = /^(orders|records|commits)\b|^(accepted|notified), p\d+$|, all$/;

/** The reports of a folder. @throws UsageError when its file has none */
export function savedReports(folder: string): Report[] {
  const path = join(folder, "performance.json");
  if (!existsSync(path)) return [];
  const content: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Value.Check(Reports, content)) throw new UsageError(`${path} was not written by this command`);
  return content;
}

/**
 * Before anything is measured, which may take an hour.
 *
 * @throws UsageError when the report could not be written where the options say
 */
export function requireWritable({ json, save: folder }: Pick<BenchOptions, "json" | "save">): void {
  if (json !== undefined) requireWritableFile("--json", json);
  if (folder === undefined) return;
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`--save: there is no folder '${folder}'`);
  }
  savedReports(folder);
}

/** Adds a report to those of a folder, in place of those that have no other scenario, and writes all as tables and as a chart. */
export function save(folder: string, report: Report): void {
  const isOther = ({ scenarios }: Report) => scenarios.some((name) => !report.scenarios.includes(name));
  const reports = [...savedReports(folder).filter(isOther), report];
  const page = join(folder, "performance.md");
  const text = existsSync(page)
    ? readFileSync(page, "utf8")
    : "# Performance\n\n<!-- bench -->\n<!-- /bench -->\n";
  writeFileSync(join(folder, "performance.json"), `${JSON.stringify(reports, null, 2)}\n`);
  writeFileSync(join(folder, "performance.svg"), chart(reports));
  writeFileSync(
    page,
    text.replace(/<!-- bench -->[\s\S]*<!-- \/bench -->/, () => tables(reports)),
  );
}

/** The part of the page between its marks, with them. */
export function tables(reports: readonly Report[]): string {
  const targets = targetsAsMarkdown(reports.flatMap(({ comparisons }) => comparisons));
  return ["<!-- bench -->", targets, ...reports.map(asMarkdown), "<!-- /bench -->"].join("\n\n");
}

export function chart(reports: readonly Report[]): string {
  return chartOf(reports.flatMap(({ comparisons }) => comparisons.filter(({ name }) => CHARTED.test(name))));
}
