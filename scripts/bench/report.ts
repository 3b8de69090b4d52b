import { cpus, loadavg, platform, release, totalmem } from "node:os";
import { type Static, Type } from "@sinclair/typebox";
import { table } from "../command/command.ts";
import { Comparison, medianOf, ratioOf } from "./comparison.ts";
import { outcomes } from "./targets.ts";

/** Everything that a run has measured, as its JSON file has it. */
export const Report = Type.Object({
  command: Type.String(),
  /** RFC 3339. */
  startedAt: Type.String(),
  machine: Type.String(),
  /** Processes that were ready to run, on average of the minute before the start. */
  loadBefore: Type.Number(),
  scenarios: Type.Array(Type.String()),
  rounds: Type.Integer(),
  comparisons: Type.Array(Comparison),
  /** What limits the worth of the figures. */
  limits: Type.Array(Type.String()),
});
export type Report = Static<typeof Report>;

export function machine(): string {
  const memory = Math.round(totalmem() / 1024 ** 3);
  const processor = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${cpus().length} × ${processor}, ${memory} GB, ${platform()} ${release()}, Bun ${Bun.version}`;
}

export function loadBefore(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

/** The report as text: for each figure the ratio first, then the medians. */
export function asText(report: Report): string {
  const tables = sections(report).map(({ section, header, rows }) => {
    const text = table(
      ["", ...header, ""],
      rows.map(({ name, cells, unit }) => [name, ...cells, unit]),
    );
    return `${section}\n${indented(text)}`;
  });
  const targets = targetRows(report.comparisons);
  if (targets.length > 0) tables.push(`Targets\n${indented(table(["", ...TARGET_HEADER], targets))}`);
  return [...tables, ...notes(report)].join("\n\n");
}

const TARGET_HEADER = ["target", "measured", ""];

/** Which of the targets are met, of those of which something was measured. */
export function targetsAsMarkdown(comparisons: readonly Comparison[]): string {
  return markdownTable(["Targets", ...TARGET_HEADER], targetRows(comparisons));
}

function targetRows(comparisons: readonly Comparison[]): string[][] {
  return outcomes(comparisons).map(({ what, wanted, measured, unit, isMet }) => [
    what,
    wanted,
    [shown(measured), unit].filter(Boolean).join(" "),
    isMet ? "met" : "missed",
  ]);
}

function indented(text: string): string {
  return text.replace(/^/gm, "  ");
}

/** The report as Markdown, its tables as a formatter would leave them. */
export function asMarkdown(report: Report): string {
  const { command, startedAt, machine: where, rounds } = report;
  const parts = [
    `\`${command}\`, ${startedAt.slice(0, 10)}, on ${where}. Medians of ${rounds} alternating rounds; the ratio is that of the first system to the second.`,
  ];
  for (const { section, header, rows } of sections(report)) {
    parts.push(
      markdownTable(
        [section, ...header],
        rows.map(({ name, cells, unit }) => [`${name}, ${unit}`, ...cells]),
      ),
    );
  }
  return [...parts, ...notes(report)].join("\n\n");
}

function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

interface Section {
  readonly section: string;
  readonly header: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    readonly cells: readonly string[];
    readonly unit: string;
  }[];
}

function sections({ comparisons }: Report): Section[] {
  return [...Map.groupBy(comparisons, ({ section }) => section)].map(([section, inSection]) => {
    const subjects = [...new Set(inSection.flatMap(({ values }) => Object.keys(values)))];
    const isCompared = inSection.some((comparison) => ratioOf(comparison) !== undefined);
    return {
      section,
      header: [...(isCompared ? ["ratio", "lowest–highest"] : []), ...subjects],
      rows: inSection.map((comparison) => ({
        ...{ name: comparison.name, unit: comparison.unit },
        cells: [
          ...(isCompared ? ratioCells(comparison) : []),
          ...subjects.map((subject) => shown(medianOf(comparison.values[subject] ?? []))),
        ],
      })),
    };
  });
}

function ratioCells(comparison: Comparison): string[] {
  const ratio = ratioOf(comparison);
  if (ratio === undefined) return ["–", "–"];
  return [shown(ratio.median), `${shown(ratio.lowest)}–${shown(ratio.highest)}`];
}

function shown(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function notes({ loadBefore: before, limits }: Report): string[] {
  const others =
    before > 0.5
      ? [`Other work was going on: ${before} processes were ready to run on average before the start.`]
      : [];
  const limited =
    limits.length === 0
      ? []
      : [`Not only the systems were measured:\n\n${limits.map((limit) => `- ${limit}`).join("\n")}`];
  return [...others, ...limited];
}
