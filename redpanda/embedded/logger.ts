/** The log of the broker: one JSON object per line on stdout. */

const levels = ["debug", "info", "warn", "error", "silent"] as const;

export type LogLevel = (typeof levels)[number];

export function isLogLevel(value: string): value is LogLevel {
  return levels.some((level) => level === value);
}

type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(msg: string, fields?: Fields): void;
  info(msg: string, fields?: Fields): void;
  warn(msg: string, fields?: Fields): void;
  error(msg: string, fields?: Fields): void;
}

export function createLogger(
  threshold: LogLevel,
  write: (line: string) => void = (line) => process.stdout.write(line),
): Logger {
  const at = (level: LogLevel) => (msg: string, fields?: Fields) => {
    if (levels.indexOf(level) < levels.indexOf(threshold)) return;
    write(
      `${JSON.stringify({ level, time: new Date().toISOString(), process: "broker", msg, ...fields })}\n`,
    );
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The text of a thrown value, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
