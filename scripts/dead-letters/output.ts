import type {
  ShownDeadLetter,
  ShownDeadLetterDetails,
  ShownReplayResult,
} from "@distributed-messaging/service/dead-letters";
import type { ShownStop } from "@distributed-messaging/service/partitions";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { actionLines, placeName } from "../command/admin.ts";
import { table } from "../command/command.ts";

export type Summary = ShownDeadLetter;
export type Details = ShownDeadLetterDetails;
export type Result = ShownReplayResult;

/** Longer cells of a table are cut; `show` prints the whole text. */
const MAX_CELL = 70;

export type Listed = Summary & { readonly service: ServiceName };

export interface Replayed {
  readonly service: ServiceName;
  readonly results: readonly Result[];
  readonly left: number;
}

/** One line for each dead letter. @param nowMs milliseconds since the epoch */
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

/** What a stopped partition is, and how to look at it. */
export function stopLine(service: ServiceName, { offset, stoppedAt, reason, ...place }: ShownStop): string {
  const name = placeName(place);
  const where =
    place.partition === "all" ? `topic ${name} is not written` : `partition ${name} is stopped at ${offset}`;
  return `${service}: ${where} since ${stoppedAt}: ${reason}; bun run partitions show ${name} --service ${service}`;
}

/** A dead letter in full. */
export function details(letter: Details): string {
  const { raw, edited, decoded, headers, stack, actions } = letter;
  const facts = [
    ["id", String(letter.id)],
    ["from", `${letter.topic}/${letter.partition}/${letter.offset}`],
    ["key", letter.key ?? "(none)"],
    ["reason", letter.reason],
    ["error", letter.error],
    ["parked", letter.parkedAt],
    ["tries", `${letter.attempts}, of which ${letter.replays} replays`],
    [
      "of its key",
      letter.lineLength === 1
        ? "no other parked message"
        : `${letter.lineLength} parked messages, itself included`,
    ],
    ["headers", JSON.stringify(headers)],
  ];
  const width = Math.max(...facts.map(([name = ""]) => name.length));
  const lines = facts.map(([name = "", value = ""]) => `${name.padEnd(width)}  ${value}`);
  const meaning =
    "message" in decoded ? indented(JSON.stringify(decoded.message, null, 2)) : indented(decoded.problem);
  return [
    ...lines,
    ...(raw === null ? ["", "no value (tombstone)"] : ["", "as received", indented(raw.text ?? raw.base64)]),
    ...(edited === null ? [] : ["", "edited", indented(edited.text ?? edited.base64)]),
    "",
    "message" in decoded ? "decoded" : "cannot be decoded",
    meaning,
    ...(stack === null ? [] : ["", "stack", indented(stack)]),
    ...(actions.length === 0 ? [] : ["", "actions"]),
    ...actionLines(actions).map(indented),
  ].join("\n");
}

/** One line for each dead letter, then the totals. */
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
  const more = left === 0 ? "" : `; ${left} more match: run the command again`;
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
  const line = text.replace(/\s+/g, " ");
  return line.length > MAX_CELL ? `${line.slice(0, MAX_CELL - 1)}…` : line;
}

function indented(text: string): string {
  return text.replace(/^/gm, "  ");
}
