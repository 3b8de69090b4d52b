import { escapeInvisible } from "@distributed-messaging/messaging";
import type { ProcessLog } from "@distributed-messaging/supervisor/process";

/** ANSI colours that are legible on dark and light backgrounds. Each process has one. */
const COLOURS = [36, 33, 32, 35, 34, 31];
const DIM = 2;
const RED = 31;
const YELLOW = 33;

const NAME_WIDTH = 12;

const levelNames: Readonly<Record<string, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/** The fields that are not printed after the message. */
const KNOWN = new Set(["level", "time", "msg", "app", "process", "pid", "hostname", "name"]);

/**
 * Formats the JSON log lines of processes: `12:00:00.123 order        info  relay caught up rows=3`. Other lines are
 * printed unchanged after the name of the process.
 */
export function logFormat(colours: boolean): (log: ProcessLog) => string {
  const colourOf = new Map<string, number>();
  const paint = (code: number, text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  return ({ process, source, line }) => {
    const code = colourOf.get(process) ?? COLOURS[colourOf.size % COLOURS.length] ?? DIM;
    colourOf.set(process, code);
    const prefix = paint(code, process.padEnd(NAME_WIDTH));
    const entry = source === "stdout" ? parseEntry(line) : undefined;
    if (entry === undefined)
      return `${prefix} ${source === "supervisor" ? paint(YELLOW, line) : plain(line)}`;
    const { level, time, message, fields } = entry;
    const shownLevel = level.padEnd(5);
    const painted = /^(error|fatal)/.test(level) ? paint(RED, shownLevel) : shownLevel;
    const words = [
      paint(DIM, time),
      prefix,
      level.startsWith("warn") ? paint(YELLOW, shownLevel) : painted,
      message,
    ];
    return [...words.filter((word) => word !== ""), ...fields.map((field) => paint(DIM, field))].join(" ");
  };
}

interface Entry {
  readonly level: string;
  readonly time: string;
  readonly message: string;
  readonly fields: readonly string[];
}

function parseEntry(line: string): Entry | undefined {
  if (!line.startsWith("{")) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null || !("level" in parsed)) return undefined;
  const entry: Record<string, unknown> = { ...parsed };
  const level = String(entry.level);
  return {
    level: levelNames[level] ?? level,
    time: clockOf(entry.time),
    message: typeof entry.msg === "string" ? plain(entry.msg) : "",
    fields: Object.entries(entry).flatMap(([key, value]) =>
      KNOWN.has(key) ? [] : [`${key}=${shown(value)}`],
    ),
  };
}

/** The local time of day; empty when the entry has no time. */
function clockOf(time: unknown): string {
  const date = typeof time === "number" || typeof time === "string" ? new Date(time) : undefined;
  if (date === undefined || Number.isNaN(date.getTime())) return "";
  const two = (part: number) => String(part).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

function shown(value: unknown): string {
  if (typeof value === "string")
    return /^[^\s"=]+$/.test(value) ? plain(value) : plain(JSON.stringify(value));
  return plain(JSON.stringify(value) ?? "undefined");
}

/** One line, in which nothing moves the cursor, hides the rest or changes its order. */
function plain(text: string): string {
  return escapeInvisible(text).replaceAll("\n", "\\n");
}
