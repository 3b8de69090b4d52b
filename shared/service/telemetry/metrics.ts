import { Elysia } from "elysia";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export { Counter, Gauge, Histogram };

/** What a service counts, in a registry of its own: two services in one process do not mix. */
export interface Metrics {
  readonly registry: Registry;
  /** Counts a finished request. `route` is the pattern (`/orders/:orderId`), never the path. */
  request(method: string, route: string, status: number, seconds: number): void;
  /** A value that is read when somebody asks for it. */
  gauge(name: string, help: string, read: () => number): void;
  /** The same for each value of a label; what is not in the map is not shown. */
  gauges(name: string, help: string, label: string, read: () => ReadonlyMap<string, number>): void;
  /** A number that only grows and that something else counts: read when somebody asks. */
  total(name: string, help: string, read: () => number): void;
  /** A number that only grows. */
  counter(name: string, help: string): { add(count?: number): void };
}

/** Methods that may be a label's value: anybody can send any other word. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"]);

/** Upper bounds in seconds: from a read out of memory to a client that has given up. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Makes the registry of one service, with the process's own figures in it. */
export function createMetrics(app: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  const registers = [registry];
  const requests = new Counter({
    name: "http_requests_total",
    help: "Requests that were answered",
    labelNames: ["method", "route", "status"],
    registers,
  });
  const durations = new Histogram({
    name: "http_request_duration_seconds",
    help: "Time from a request's arrival to its answer",
    labelNames: ["method", "route"],
    buckets: BUCKETS_S,
    registers,
  });
  const metrics: Metrics = {
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
          for (const [value, count] of readOr(new Map<string, number>(), read))
            this.set({ [label]: value }, count);
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
    counter(name, help) {
      const counter = new Counter({ name, help, registers });
      return { add: (count = 1) => counter.inc(count) };
    },
  };
  addProcessMetrics(metrics);
  return metrics;
}

/** One figure that cannot be read (a database that is just closing) must not take the others with it. */
function readOr<T>(fallback: T, read: () => T): T {
  try {
    return read();
  } catch {
    return fallback;
  }
}

/**
 * prom-client's own process metrics ask Node for things that Bun does not have (GC observers, heap spaces);
 * these work on both, under the names that the Prometheus guidelines give them.
 * https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
 */
function addProcessMetrics(metrics: Metrics): void {
  const startedAtS = Date.now() / 1000 - process.uptime();
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  metrics.total("process_cpu_seconds_total", "CPU time of the process, in seconds", cpuSeconds);
  metrics.gauge("process_resident_memory_bytes", "Resident memory in bytes", () => process.memoryUsage.rss());
  metrics.gauge(
    "process_heap_bytes",
    "Size of the JavaScript heap in bytes",
    () => process.memoryUsage().heapUsed,
  );
  metrics.gauge("process_start_time_seconds", "Start of the process in Unix seconds", () => startedAtS);
}

/** `GET /metrics` in the Prometheus text format. */
export function metricsRoute(metrics: Metrics) {
  return new Elysia({ name: "metrics" }).get(
    "/metrics",
    async () =>
      new Response(await metrics.registry.metrics(), {
        headers: { "content-type": metrics.registry.contentType },
      }),
    { detail: { summary: "Figures for Prometheus" } },
  );
}
