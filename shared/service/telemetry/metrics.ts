import { deadLetterReasons, type Messaging, stopReasons } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { documented, HEALTH } from "../http/openapi.ts";

/** The metrics of one service, in a registry of their own. */
export interface Metrics {
  readonly registry: Registry;
  /** Counts a request that was answered. `route` is the pattern (`/orders/:orderId`), never the path. */
  request(method: string, route: string, status: number, seconds: number): void;
  /** Adds a gauge. `read` is called at each scrape; the gauge is NaN when it throws. */
  gauge(name: string, help: string, read: () => number): void;
  /** Adds a counter whose value is kept elsewhere. `read` is called at each scrape. */
  total(name: string, help: string, read: () => number): void;
}

/** Any other method is the label `OTHER`: a client may send any word, and each would be a time series. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"]);

/** Upper bounds in seconds, from a read in memory to the timeout of a client. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** How often the delay of the event loop is sampled. Each sample wakes the process; the default is 10 ms. */
const EVENT_LOOP_SAMPLE_MS = 200;

/** Creates the registry of one service, with the metrics of its process and its HTTP requests. */
export function createMetrics(app: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
  const registers = [registry];
  const requests = new Counter({
    name: "http_requests_total",
    help: "Requests that were answered",
    labelNames: ["method", "route", "status"],
    registers,
  });
  const durations = new Histogram({
    name: "http_request_duration_seconds",
    help: "Time from the arrival of a request to its response",
    labelNames: ["method", "route"],
    buckets: BUCKETS_S,
    registers,
  });
  return {
    registry,
    request(method, route, status, seconds) {
      const known = METHODS.has(method) ? method : "OTHER";
      requests.inc({ method: known, route, status: String(status) });
      durations.observe({ method: known, route }, seconds);
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(readOr(Number.NaN, read));
        },
      });
    },
    total(name, help, read) {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(readOr(0, read));
        },
      });
    },
  };
}

/** One value that cannot be read, as during the closing of the database, must not fail the whole scrape. */
function readOr<T>(fallback: T, read: () => T): T {
  try {
    return read();
  } catch {
    return fallback;
  }
}

/** Adds the metrics of a service's messages: outbox, inbox, dead letters, timers. */
export function addMessagingMetrics(metrics: Metrics, messaging: Messaging): void {
  const { outbox, deadLetters, timers, effects, consumer, partitionStops } = messaging;
  const { counts } = consumer;
  metrics.gauge("outbox_depth", "Messages in the outbox", () => outbox.depth());
  metrics.gauge("outbox_oldest_age_seconds", "Age of the oldest message in the outbox", () => {
    const oldestAt = outbox.oldestAt();
    return oldestAt === undefined ? 0 : Math.max(0, Date.now() - oldestAt) / 1000;
  });
  metrics.gauge("outbox_parked", "Outgoing messages that are parked because the broker refuses them", () =>
    messaging.parked.count(),
  );
  metrics.gauge(
    "outbox_refused_topics",
    "Topics that the broker refuses, whose messages wait in the outbox",
    () => messaging.refusedTopics().length,
  );
  metrics.gauge("dead_letters", "Dead letters", () => deadLetters.count());
  new Gauge({
    name: "dead_letters_by_reason",
    help: "Dead letters by the reason why they were parked",
    labelNames: ["reason"],
    registers: [metrics.registry],
    collect() {
      this.reset();
      const counted = readOr(undefined, () => deadLetters.countByReason());
      if (counted === undefined) return;
      for (const reason of deadLetterReasons) this.set({ reason }, counted.get(reason) ?? 0);
    },
  });
  new Gauge({
    name: "messaging_partitions_stopped",
    help: "Partitions and topics that wait for an operator, by reason",
    labelNames: ["reason"],
    registers: [metrics.registry],
    collect() {
      this.reset();
      const counted = readOr(undefined, () => partitionStops.countByReason());
      if (counted === undefined) return;
      for (const reason of stopReasons) this.set({ reason }, counted[reason]);
    },
  });
  metrics.total(
    "messaging_records_lost_total",
    "Records that retention removed before they were read",
    () => counts.lost,
  );
  metrics.total(
    "dead_letters_dropped_total",
    "Dead letters of unknown type that were deleted because there were too many",
    () => deadLetters.dropped,
  );
  metrics.gauge("timers_pending", "Timers that are not fired yet", () => timers.counts().pending);
  metrics.gauge(
    "timers_failed",
    "Timers that failed too often and are not retried",
    () => timers.counts().failed,
  );
  metrics.gauge("effects_pending", "Effects that are not performed yet", () => effects.counts().pending);
  metrics.gauge(
    "effects_dead",
    "Effects that failed too often, for an operator",
    () => effects.counts().dead,
  );
  const { totals } = effects;
  metrics.total("effects_completed_total", "Effects that were performed", () => totals.completed);
  metrics.total(
    "effects_retried_total",
    "Failed tries of effects that are tried again",
    () => totals.retried,
  );
  metrics.total("messages_handled_total", "Messages that were handled", () => counts.handled);
  metrics.total("messages_duplicate_total", "Messages that had been handled before", () => counts.duplicate);
  metrics.total("messages_skipped_total", "Messages that the service does not handle", () => counts.skipped);
  metrics.total("messages_parked_total", "Messages parked as dead letters", () => counts.parked);
  metrics.total("messages_retried_total", "Failed attempts that were retried", () => counts.retried);
}

/** `GET /metrics` in the Prometheus text format. */
export function metricsRoute(metrics: Metrics) {
  return new Elysia({ name: "metrics" }).get(
    "/metrics",
    async () =>
      new Response(await metrics.registry.metrics(), {
        headers: { "content-type": metrics.registry.contentType },
      }),
    {
      detail: documented("Metrics for Prometheus", {
        tag: HEALTH,
        answers: { 200: Type.String({ contentMediaType: "text/plain" }) },
      }),
    },
  );
}
