import { signal } from "@preact/signals";

/** The time span of the charts in seconds. */
export const WINDOW_S = 90;
/** Bounds on the orders that wait for their confirmation, and on the durations for the percentiles. */
const MAX_TRACKED = 5_000;
const MAX_DURATIONS = 1_000;

interface Second {
  readonly accepted: number;
  readonly confirmed: number;
  /** Percentiles of the durations so far, at the end of this second; undefined without durations. */
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
}

interface Throughput {
  /** The last WINDOW_S complete seconds, oldest first. */
  readonly seconds: readonly Second[];
  readonly accepted: number;
  readonly confirmed: number;
  /** Percentiles of the time from the first request to the notification of the confirmation. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

const seconds: Second[] = Array.from({ length: WINDOW_S }, () => ({ accepted: 0, confirmed: 0 }));
const sentAt = new Map<string, number>();
const durations: number[] = [];
let current = { accepted: 0, confirmed: 0 };
const totals = { accepted: 0, confirmed: 0 };

/** The orders of this page. */
export const throughput = signal<Throughput>(summary());

/** Call when an order is sent for the first time. */
export function countSent(orderId: string): void {
  if (sentAt.size >= MAX_TRACKED) sentAt.delete(sentAt.keys().next().value ?? "");
  sentAt.set(orderId, performance.now());
}

/** Call when the gateway accepts an order that it did not have. */
export function countAccepted(): void {
  current.accepted += 1;
  totals.accepted += 1;
}

/** Call when an order is confirmed. Ignores orders that this page has not sent. */
export function countConfirmed(orderId: string): void {
  const startedAt = sentAt.get(orderId);
  if (startedAt === undefined) return;
  sentAt.delete(orderId);
  current.confirmed += 1;
  totals.confirmed += 1;
  durations.push(performance.now() - startedAt);
  if (durations.length > MAX_DURATIONS) durations.shift();
}

/** Updates `throughput` every second. */
export function measureThroughput(): void {
  setInterval(() => {
    seconds.push({ ...current, ...percentiles() });
    seconds.shift();
    current = { accepted: 0, confirmed: 0 };
    throughput.value = summary();
  }, 1_000);
}

function summary(): Throughput {
  return { seconds: [...seconds], ...totals, ...percentiles() };
}

function percentiles() {
  const sorted = durations.toSorted((one, other) => one - other);
  return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) };
}

/** The nearest-rank percentile. @param sorted ascending */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
