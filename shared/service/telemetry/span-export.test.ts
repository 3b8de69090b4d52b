import { describe, expect, test } from "bun:test";
import { captureLogger, serveForTest } from "../testing.ts";
import { createMetrics } from "./metrics.ts";
import { createTracer } from "./span-export.ts";
import { newTrace } from "./tracing.ts";

interface Collector extends AsyncDisposable {
  readonly endpoint: string;
  readonly received: { path: string; type: string | null; body: OtlpRequest }[];
  status: number;
}

interface OtlpRequest {
  resourceSpans: {
    resource: { attributes: unknown[] };
    scopeSpans: { spans: Record<string, unknown>[] }[];
  }[];
}

function collector(): Collector {
  const received: Collector["received"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      // What arrives is what the tests look at, field by field.
      const body = (await request.json()) as OtlpRequest;
      if (self.status === 200)
        received.push({ path: pathname, type: request.headers.get("content-type"), body });
      return new Response("{}", { status: self.status });
    },
  });
  const self: Collector = {
    endpoint: `http://127.0.0.1:${server.port}/`,
    received,
    status: 200,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return self;
}

const spansOf = ({ received }: Collector) =>
  received.flatMap(({ body }) =>
    body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );

/** Nothing is sent until stop, so that a test decides when. */
const options = { app: "order", intervalMs: 1_000_000 };

describe("spans", () => {
  test("reach a collector as OTLP JSON", async () => {
    await using sink = collector();
    const { log } = captureLogger();
    const tracer = createTracer({ ...options, endpoint: sink.endpoint, log });
    const parent = newTrace();
    const span = tracer.startSpan("work", "consumer", parent);
    span.end({
      name: "order.placed",
      attributes: { a: "x", n: 3, f: 0.5, b: true },
      error: new Error("no\nway"),
    });
    span.end();
    await tracer.stop(5000);
    expect(sink.received[0]).toMatchObject({ path: "/v1/traces", type: "application/json" });
    expect(spansOf(sink)).toEqual([
      {
        traceId: parent.traceId,
        spanId: span.context.spanId,
        parentSpanId: parent.spanId,
        name: "order.placed",
        kind: 5,
        startTimeUnixNano: expect.stringMatching(/^\d{19}$/),
        endTimeUnixNano: expect.stringMatching(/^\d{19}$/),
        attributes: [
          { key: "a", value: { stringValue: "x" } },
          { key: "n", value: { intValue: "3" } },
          { key: "f", value: { doubleValue: 0.5 } },
          { key: "b", value: { boolValue: true } },
        ],
        status: { code: 2, message: "no way" },
      },
    ]);
    expect(sink.received[0]?.body.resourceSpans[0]?.resource.attributes).toEqual([
      { key: "service.name", value: { stringValue: "order" } },
    ]);
  });

  test("go out in batches, all of them by the time it has stopped", async () => {
    await using sink = collector();
    const tracer = createTracer({ ...options, endpoint: sink.endpoint, log: captureLogger().log });
    for (let index = 0; index < 1000; index++) tracer.startSpan(`s${index}`, "internal").end();
    await tracer.stop(5000);
    expect(spansOf(sink)).toHaveLength(1000);
    expect(sink.received.length).toBeGreaterThan(3);
    expect(tracer.dropped).toBe(0);
  });

  test("of a trace that is not sampled are not sent", async () => {
    await using sink = collector();
    const tracer = createTracer({ ...options, endpoint: sink.endpoint, log: captureLogger().log });
    tracer.startSpan("work", "internal", { ...newTrace(), sampled: false }).end();
    await tracer.stop(5000);
    expect(sink.received).toHaveLength(0);
  });

  test("are dropped and counted, with one line in the log, when the collector is away", async () => {
    const { log, lines } = captureLogger();
    const metrics = createMetrics("order");
    const tracer = createTracer({ ...options, endpoint: "http://127.0.0.1:1", log, metrics });
    for (let index = 0; index < 3000; index++) tracer.startSpan("work", "internal").end();
    expect(tracer.dropped).toBe(3000 - 2048);
    await tracer.stop(5000);
    expect(tracer.dropped).toBe(3000);
    expect(lines.filter((line) => line.includes("cannot be reached"))).toHaveLength(1);
    expect(await metrics.registry.metrics()).toContain('trace_spans_dropped_total{app="order"} 3000');
  });

  test("wait while the collector is overloaded, and are given up when it refuses them", async () => {
    await using sink = collector();
    const tracer = createTracer({ ...options, endpoint: sink.endpoint, log: captureLogger().log });
    sink.status = 400;
    tracer.startSpan("refused", "internal").end();
    await tracer.stop(5000);
    expect(tracer.dropped).toBe(1);
    sink.status = 503;
    tracer.startSpan("waiting", "internal").end();
    await tracer.stop(50);
    expect(tracer.dropped).toBe(2);
  });

  test("tell of a request: its route, its status, its caller's trace", async () => {
    await using sink = collector();
    const tracer = createTracer({ ...options, endpoint: sink.endpoint, log: captureLogger().log });
    const caller = newTrace();
    {
      await using server = await serveForTest((app) => void app.get("/orders/:orderId", () => "ok"), {
        tracer,
      });
      const headers = { traceparent: `00-${caller.traceId}-${caller.spanId}-01` };
      const response = await fetch(`${server.url}/orders/secret`, { headers });
      expect(response.headers.get("traceparent")).toStartWith(`00-${caller.traceId}-`);
    }
    await tracer.stop(5000);
    expect(spansOf(sink)).toEqual([
      expect.objectContaining({ name: "GET /orders/:orderId", kind: 2, parentSpanId: caller.spanId }),
    ]);
    expect(JSON.stringify(sink.received)).not.toContain("secret");
  });
});
