import type { ServiceName } from "@distributed-messaging/services/registry";
import { table } from "../command/table.ts";
import type { Details, Result, Summary } from "./client.ts";

/** A table's cell; the whole text is in `show`. */
const MAX_CELL = 70;

export type Listed = Summary & { readonly service: ServiceName };

export interface Replayed {
  readonly service: ServiceName;
  readonly results: readonly Result[];
  readonly left: number;
}

/** One line a letter. @param nowMs milliseconds since the epoch */
export function listing(letters: readonly Listed[], nowMs: number): string {
  if (letters.length === 0) return "no dead letters";
  const rows = letters.map((letter) => [
    letter.service,
    String(letter.id),
    age(nowMs - Date.parse(letter.parkedAt)),
    letter.reason + (letter.edited ? ", edited" : ""),
    letter.topic,
    cell(letter.key ?? "(none)"),
    String(letter.attempts),
    cell(letter.error),
  ]);
  return table(["SERVICE", "ID", "AGE", "REASON", "TOPIC", "KEY", "TRIES", "ERROR"], rows);
}

/** All that is known of a letter, for reading. */
export function portrait(letter: Details): string {
  const { raw, edited, decoded, headers, stack, actions } = letter;
  const facts = [
    ["id", String(letter.id)],
    ["from", `${letter.topic}/${letter.partition}/${letter.offset}`],
    ["key", letter.key ?? "(none)"],
    ["reason", letter.reason],
    ["error", letter.error],
    ["parked", letter.parkedAt],
    ["tries", `${letter.attempts}, of which ${letter.replays} replays`],
    ["line", letter.lineLength === 1 ? "it alone" : `${letter.lineLength} messages, itself included`],
    ["headers", JSON.stringify(headers)],
  ];
  const width = Math.max(...facts.map(([name = ""]) => name.length));
  const lines = facts.map(([name = "", value = ""]) => `${name.padEnd(width)}  ${printable(value)}`);
  const means =
    "message" in decoded ? indented(JSON.stringify(decoded.message, null, 2)) : indented(decoded.problem);
  return [
    ...lines,
    ...(raw === null ? ["", "it has no value"] : ["", "as it came", indented(raw.text ?? raw.base64)]),
    ...(edited === null ? [] : ["", "edited", indented(edited.text ?? edited.base64)]),
    "",
    "message" in decoded ? "which means" : "which cannot be read",
    means,
    ...(stack === null ? [] : ["", "stack", indented(stack)]),
    ...(actions.length === 0 ? [] : ["", "what was done with it"]),
    ...actions.map(({ at, actor, action, detail }) => indented(`${at}  ${actor}  ${action}  ${detail}`)),
  ].join("\n");
}

/** One line a letter, then the sum. */
export function outcomes(replayed: readonly Replayed[]): string {
  const results = replayed.flatMap((one) => one.results);
  if (results.length === 0) return "nothing to replay";
  const rows = replayed.flatMap(({ service, results: own }) =>
    own.map(({ id, outcome, detail }) => [service, String(id), outcome, cell(detail ?? "")]),
  );
  const counts = [...Map.groupBy(results, ({ outcome }) => outcome)].map(
    ([outcome, group]) => `${group.length} ${outcome}`,
  );
  const left = replayed.reduce((sum, one) => sum + one.left, 0);
  const more = left === 0 ? "" : `; ${left} more match: run it again`;
  return `${table(["SERVICE", "ID", "OUTCOME", "DETAIL"], rows)}\n${counts.join(", ")}${more}`;
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
] as const;

function age(ms: number): string {
  for (const [unit, unitMs] of UNITS) if (ms >= unitMs) return `${Math.floor(ms / unitMs)}${unit}`;
  return `${Math.max(0, Math.floor(ms / 1000))}s`;
}

function cell(text: string): string {
  const line = printable(text.replace(/\s+/g, " "));
  return line.length > MAX_CELL ? `${line.slice(0, MAX_CELL - 1)}…` : line;
}

function indented(text: string): string {
  return printable(text).replace(/^/gm, "  ");
}

/** Somebody else wrote these texts: what they could do to a terminal is taken out. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}
