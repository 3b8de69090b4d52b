import { Type } from "@sinclair/typebox";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `15m`, `24h`, `7d`, `1.5h` → whole milliseconds; undefined for anything else. */
export function durationToMs(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text);
  const unitMs = UNIT_MS[match?.[2] ?? ""];
  return match === null || unitMs === undefined ? undefined : Math.round(Number(match[1]) * unitMs);
}

/** A hundred years: above it, `now + duration` stops being a date that anything can show. */
const LONGEST_MS = 36_525 * 86_400_000;

/**
 * A setting that is written as a duration and read as milliseconds.
 *
 * @param fallback the default, written as people write it (`24h`)
 * @param bounds in milliseconds
 */
export function Duration(fallback: string, bounds: { minimum?: number; maximum?: number } = {}) {
  const defaultMs = durationToMs(fallback);
  if (defaultMs === undefined) throw new TypeError(`not a duration: ${fallback}`);
  const minimum = bounds.minimum ?? 0;
  const maximum = bounds.maximum ?? LONGEST_MS;
  const range = `from ${inWords(minimum)} to ${inWords(maximum)}`;
  return Type.Integer({
    minimum,
    maximum,
    default: defaultMs,
    unit: "duration",
    expected: `a duration ${range}, such as 500ms, 30s, 15m, 24h or 7d`,
  });
}

function inWords(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const unitMs = UNIT_MS[unit];
    if (unitMs !== undefined && ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}
