import { signal } from "@preact/signals";

/** How far back the charts look. */
export const WINDOW_S = 90;
/** Orders whose confirmation is waited for, and times kept for the percentiles: older ones are let go. */
const MAX_TRACKED = 5_000;
const MAX_TIMES = 1_000;

/** One second of what this page has seen. */
interface Second {
  readonly accepted: number;
  readonly confirmed: number;
  /** Of the times to confirmation known at its end; undefined without any. */
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
}

/** Figures of the orders that this page has placed and heard of. */
interface Readings {
  /** The last WINDOW_S seconds, oldest first; the one that is under way is not among them. */
  readonly seconds: readonly Second[];
  readonly accepted: number;
  readonly confirmed: number;
  /** From the click to the news of the confirmation, of the latest orders; undefined without any. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

const empty: Second = { accepted: 0, confirmed: 0 };
const seconds: Second[] = Array.from({ length: WINDOW_S }, () => empty);
const startedAt = new Map<string, number>();
const times: number[] = [];
let current = { accepted: 0, confirmed: 0 };
const totals = { accepted: 0, confirmed: 0 };

export const readings = signal<Readings>(summary());

/** An order was sent for the first time. */
export function countSent(orderId: string): void {
  if (startedAt.size >= MAX_TRACKED) startedAt.delete(startedAt.keys().next().value ?? "");
  startedAt.set(orderId, performance.now());
}

/** The gateway has an order, and did not have it before. */
export function countAccepted(): void {
  current.accepted += 1;
  totals.accepted += 1;
}

/** There is news that an order is confirmed. */
export function countConfirmed(orderId: string): void {
  const began = startedAt.get(orderId);
  // Not one of this page's: nobody here knows when it began.
  if (began === undefined) return;
  startedAt.delete(orderId);
  current.confirmed += 1;
  totals.confirmed += 1;
  times.push(performance.now() - began);
  if (times.length > MAX_TIMES) times.shift();
}

function endSecond(): void {
  const { p50Ms, p99Ms } = percentiles();
  seconds.push({ ...current, p50Ms, p99Ms });
  seconds.shift();
  current = { accepted: 0, confirmed: 0 };
  readings.value = summary();
}

/** Ends a second every second, as long as the page lives. */
export function keepTime(): void {
  setInterval(endSecond, 1_000);
}

function summary(): Readings {
  return { seconds: [...seconds], ...totals, ...percentiles() };
}

function percentiles() {
  const sorted = times.toSorted((one, other) => one - other);
  return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) };
}

/** The nearest-rank percentile. @param sorted ascending */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
