import { statfsSync, statSync } from "node:fs";
import { deadLetterReasons, type Messaging, stopReasons } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type HealthCheck, runChecks } from "../http/health.ts";
import { documented, HEALTH } from "../http/openapi.ts";
import { Distribution } from "./distribution.ts";

/** The metrics of one service, in a registry of their own. */
export interface Metrics {
  readonly registry: Registry;
  /** Counts a request that was answered. `route` is the pattern (`/orders/:orderId`), never the path. */
  request(method: string, route: string, status: number, seconds: number): void;
  /** Adds a gauge. `read` is called at each scrape; the gauge is NaN when it throws. */
  gauge(name: string, help: string, read: () => number): void;
  /** Adds gauges, one for each value of a label. `read` is called at each scrape; there are none when it throws. */
  gauges(name: string, help: string, label: string, read: () => Iterable<readonly [string, number]>): void;
  /** Adds a histogram. @param buckets upper bounds @returns observes a value; the labels are in the order of `labels` */
  histogram<Labels extends readonly string[]>(
    name: string,
    help: string,
    labels: Labels,
    buckets: readonly number[],
  ): (value: number, ...labels: { readonly [Label in keyof Labels]: string }) => void;
  /** Adds a counter. @returns counts one */
  counter(name: string, help: string): () => void;
  /** Adds a counter whose value is kept elsewhere. `read` is called at each scrape. */
  total(name: string, help: string, read: () => number): void;
}

/** Any other method is the label `OTHER`: a client may send any word, and each would be a time series. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"]);

/** Upper bounds in seconds, from a read in memory to the timeout of a client. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** The same for what a process does by itself: from a message that does nothing to a group that holds up all others. */
const WORK_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

/** Upper bounds of how much is done at a time. */
const SIZE_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/** Gauges of prom-client whose names say that they are counters. Each is the sum of the series of the gauge without `_total`. */
const WRONG_NAMES = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** How often the delay of the event loop is sampled. Each sample wakes the process; the default is 10 ms. */
const EVENT_LOOP_SAMPLE_MS = 200;

/** Creates the registry of one service, with the metrics of its process and its HTTP requests. */
export function createMetrics(app: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
  for (const name of WRONG_NAMES) registry.removeSingleMetric(name);
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
    gauges(name, help, label, read) {
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          this.reset();
          for (const [value, number] of readOr([], read)) this.set({ [label]: value }, number);
        },
      });
    },
    histogram(name, help, labels, buckets) {
      const distribution = new Distribution({ name, help, labels, buckets, registers });
      return (value, ...values) => distribution.add(value, values);
    },
    counter(name, help) {
      const counter = new Counter({ name, help, registers });
      return () => counter.inc();
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
  metrics.gauge("outbox_oldest_age_seconds", "Age of the oldest message in the outbox", () =>
    ageOf(outbox.oldestAt()),
  );
  metrics.gauge("outbox_parked", "Outgoing messages that are parked because the broker refuses them", () =>
    messaging.parked.count(),
  );
  metrics.gauge(
    "outbox_refused_topics",
    "Topics that the broker refuses, whose messages wait in the outbox",
    () => messaging.refusedTopics().length,
  );
  metrics.gauge(
    "outbox_parked_oldest_age_seconds",
    "Since when the oldest parked outgoing message is parked",
    () => ageOf(messaging.parked.oldestAt()),
  );
  metrics.gauge("dead_letters", "Dead letters", () => deadLetters.count());
  metrics.gauge("dead_letters_oldest_age_seconds", "Since when the oldest dead letter is parked", () =>
    ageOf(deadLetters.oldestAt()),
  );
  metrics.gauges(
    "dead_letters_by_reason",
    "Dead letters by the reason why they were parked",
    "reason",
    () => {
      const counted = deadLetters.countByReason();
      return deadLetterReasons.map((reason) => [reason, counted.get(reason) ?? 0] as const);
    },
  );
  metrics.gauges(
    "messaging_partitions_stopped",
    "Partitions and topics that wait for an operator, by reason",
    "reason",
    () => {
      const counted = partitionStops.countByReason();
      return stopReasons.map((reason) => [reason, counted[reason]] as const);
    },
  );
  metrics.gauges(
    "messaging_consumer_lag_records",
    "Offsets from the next record to handle to the end of the log, as it was fetched last; those of aborted or removed records count until they are passed",
    "topic",
    () => Array.from(consumer.lag(), ([topic, { records }]) => [topic, records] as const),
  );
  metrics.gauges(
    "messaging_consumer_lag_seconds",
    "Age of the oldest record that is not handled yet, of those fetched; without a broker, newer ones are not known",
    "topic",
    () => Array.from(consumer.lag(), ([topic, { seconds }]) => [topic, seconds] as const),
  );
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
  metrics.gauge("timers_late", "Timers that have been due for more than a second", () => timers.late().count);
  metrics.gauge(
    "timers_oldest_late_seconds",
    "How late the latest of the late timers is",
    () => timers.late().mostMs / 1000,
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
  observe(metrics, messaging);
}

/** Measures what the kit does. */
function observe(metrics: Metrics, messaging: Messaging): void {
  const processed = metrics.histogram(
    "messaging_process_duration_seconds",
    "Time to decode, claim and handle one message, without the commit, by type and outcome",
    ["type", "outcome"],
    WORK_BUCKETS_S,
  );
  const committed = metrics.histogram(
    "unit_of_work_duration_seconds",
    "Time from the begin of a group of units of work to its commit",
    [],
    WORK_BUCKETS_S,
  );
  const groupSize = metrics.histogram(
    "unit_of_work_group_size",
    "Units of work that were committed together",
    [],
    SIZE_BUCKETS,
  );
  const commitFailed = metrics.counter(
    "unit_of_work_failures_total",
    "Groups of units of work that could not be committed, as on a full disk",
  );
  const sent = metrics.histogram(
    "outbox_send_duration_seconds",
    "Time from a send to the broker to its end, acknowledged or failed",
    [],
    BUCKETS_S,
  );
  const batchSize = metrics.histogram(
    "outbox_send_batch_size",
    "Messages in one send to the broker",
    [],
    SIZE_BUCKETS,
  );
  const sendFailed = metrics.counter(
    "outbox_send_failures_total",
    "Sends of which the broker has not acknowledged every message",
  );
  messaging.observe({
    processed: (type, outcome, seconds) => processed(seconds, type ?? "other", outcome),
    committed(size, seconds) {
      committed(seconds);
      groupSize(size);
    },
    commitFailed,
    sent(records, seconds, isStored) {
      sent(seconds);
      batchSize(records);
      if (!isStored) sendFailed();
    },
  });
}

/** @param at milliseconds since the epoch; undefined where there is nothing */
function ageOf(at: number | undefined): number {
  return at === undefined ? 0 : Math.max(0, Date.now() - at) / 1000;
}

/** Adds the metrics of the disk. @param database the file of the service @param dataDir the directory of its files */
export function addStorageMetrics(metrics: Metrics, database: string, dataDir: string): void {
  metrics.gauges(
    "sqlite_file_bytes",
    "Size of the SQLite database and of its write-ahead log",
    "file",
    () => [
      ["database", bytesOf(database)],
      ["wal", bytesOf(`${database}-wal`)],
    ],
  );
  metrics.gauge(
    "data_directory_free_bytes",
    "Bytes that the service may still write on the file system of its data directory",
    () => {
      const { bavail, bsize } = statfsSync(dataDir);
      return bavail * bsize;
    },
  );
  metrics.gauge("data_directory_size_bytes", "Size of the file system of the data directory", () => {
    const { blocks, bsize } = statfsSync(dataDir);
    return blocks * bsize;
  });
}

/** 0 for a file that is not there: SQLite makes the log when it needs it. */
function bytesOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Adds what `GET /readiness` says, as one series for each check: 1 for UP, 0 for DOWN. In place of what was added before. */
export function addReadinessMetric(metrics: Metrics, checks: readonly HealthCheck[]): void {
  metrics.registry.removeSingleMetric("readiness_check");
  new Gauge({
    name: "readiness_check",
    help: "Whether a check of GET /readiness passes: 1 or 0",
    labelNames: ["check"],
    registers: [metrics.registry],
    async collect() {
      for (const { name, found } of await runChecks(checks))
        this.set({ check: name }, found.length === 0 ? 1 : 0);
    },
  });
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
