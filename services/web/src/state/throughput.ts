import { signal } from "@preact/signals";
import { figures } from "./figures.ts";
import { down } from "./processes.ts";
import { percentile, runOf, type Second } from "./seconds.ts";

/** The longest time span of the charts in seconds. */
const WINDOW_S = 90;
/** Bounds on the orders that wait for their confirmation, and on the durations for the percentiles. */
const MAX_TRACKED = 5_000;
const MAX_DURATIONS = 1_000;

interface Throughput {
  /** The last complete seconds, oldest first: from the first order that is shown. */
  readonly seconds: readonly Second[];
  readonly accepted: number;
  readonly confirmed: number;
  /** Percentiles of the time from the first request to the notification of the confirmation. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

let seconds: readonly Second[] = [];
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
    const second = { ...current, ...backlog(), outage: down.peek().length > 0, ...percentiles() };
    seconds = [...seconds, second].slice(-WINDOW_S);
    current = { accepted: 0, confirmed: 0 };
    throughput.value = summary();
  }, 1_000);
}

function summary(): Throughput {
  return { seconds: runOf(seconds), ...totals, ...percentiles() };
}

function backlog() {
  const { services = [], lag = null } = figures.peek() ?? {};
  const ages = services.flatMap(({ outboxOldestAgeS }) => outboxOldestAgeS ?? []);
  return {
    oldestAgeS: ages.length === 0 ? null : Math.max(...ages),
    lag: lag === null ? null : Object.values(lag).reduce((sum, one) => sum + one, 0),
  };
}

function percentiles() {
  const sorted = durations.toSorted((one, other) => one - other);
  return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) };
}
