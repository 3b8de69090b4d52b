import type { Money } from "../api/types.ts";

const formats = new Map<string, { format: Intl.NumberFormat; minorUnits: number }>();

/** An amount in minor units, formatted for the locale of the browser: `€40.00`, `¥4,000`. */
export function money({ amount, currency }: Money): string {
  let known = formats.get(currency);
  if (known === undefined) {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    known = { format, minorUnits: 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2) };
    formats.set(currency, known);
  }
  return known.format.format(amount / known.minorUnits);
}

const times = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** The time of day, with the date unless it is today. @param at milliseconds since the epoch */
export function time(at: number): string {
  const date = new Date(at);
  const text = times.format(date);
  return date.toDateString() === new Date().toDateString() ? text : `${days.format(date)}, ${text}`;
}

const exactTimes = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

/** The time of day to the millisecond. */
export function exactTime(at: number): string {
  return exactTimes.format(at);
}

/** A duration in short form: `12 ms`, `3.4 s`, `2 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

const lists = new Intl.ListFormat("en");

/** `a, b, and c`. */
export function listed(names: readonly string[]): string {
  return lists.format(names);
}

const counts = new Intl.NumberFormat();

export function count(value: number): string {
  return counts.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
