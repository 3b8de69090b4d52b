import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import type { MatrixClient } from "./clients.ts";
import { clientDefects } from "./compare.ts";
import type { Run } from "./run.ts";
import { type Feature, features, type Transcript } from "./script.ts";

export const README = join(ROOT, "redpanda/embedded/README.md");
const BEGIN = "<!-- Written by `bun run test-kafka-clients -- --write`. -->";
const END = "<!-- The end of what is written. -->";

const titles: Readonly<Record<Feature, string>> = {
  produce: "produce, consume",
  "read others": "records of the others",
  groups: "groups",
  admin: "administration",
  times: "offsets for times",
  transactions: "transactions",
};

/** The rows of the table of clients in the README, as their cells. The first one is the header. */
export function tableOf(run: Run, clients: readonly MatrixClient[]): string[][] {
  const rows = clients.map(({ name, title }) => {
    const transcript: Transcript = run.transcripts.get(name) ?? new Map();
    const cells = features.map((feature) => cell(feature, name, transcript));
    return [title, run.versions.get(name) ?? "", ...cells];
  });
  return [["client", "version", ...features.map((feature) => titles[feature])], ...rows];
}

function cell(feature: Feature, name: string, transcript: Transcript): string {
  const steps = [...transcript].filter(([, step]) => step.feature === feature);
  if (steps.every(([, { answer }]) => answer.lacks !== undefined)) return "no";
  const lacking = steps.flatMap(([step, { answer }]) => {
    const defect = clientDefects.find((each) => each.client === name && each.step === step);
    if (defect !== undefined) return [defect.what];
    return answer.lacks === undefined ? [] : [String(answer.lacks)];
  });
  return lacking.length === 0 ? "yes" : `without ${[...new Set(lacking)].sort().join(", ")}`;
}

/** The rows of the table in the README. */
export function rowsInReadme(): string[][] {
  const [, , ...rows] = between(readFileSync(README, "utf8")).trim().split("\n");
  return rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((text) => text.trim()),
  );
}

export function writeTable(rows: readonly (readonly string[])[]): void {
  const text = readFileSync(README, "utf8");
  writeFileSync(
    README,
    text.replace(between(text), () => `\n\n${markdown(rows)}\n\n`),
  );
}

function between(text: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${README} has no table of clients`);
  return text.slice(begin + BEGIN.length, end);
}

function markdown(rows: readonly (readonly string[])[]): string {
  const [header = []] = rows;
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(header), rule, ...rows.slice(1).map(line)].join("\n");
}
