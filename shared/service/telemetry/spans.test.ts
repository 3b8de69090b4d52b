import { describe, expect, test } from "bun:test";
import { captureLogger, serveForTest } from "../testing/http.ts";
import { createMetrics } from "./metrics.ts";
import { createTracer } from "./spans.ts";
import { childOf } from "./trace-context.ts";

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

/** A tracer that exports only when a batch is full or it is stopped. */
function tracerTo(endpoint: string) {
  const { log, lines } = captureLogger();
  const metrics = createMetrics("order");
  const tracer = createTracer({ app: "order", intervalMs: 1_000_000, endpoint, log, metrics });
  const dropped = async () => {
    const text = await metrics.registry.metrics();
    return Number(/^trace_spans_dropped_total\{app="order"\} (\d+)$/m.exec(text)?.[1]);
  };
  return { tracer, lines, dropped };
}

describe("spans", () => {
  test("are exported as OTLP JSON", async () => {
    await using sink = collector();
    const { tracer } = tracerTo(sink.endpoint);
    const parent = childOf(undefined);
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

  test("are exported in batches, all of them before stop resolves", async () => {
    await using sink = collector();
    const { tracer, dropped } = tracerTo(sink.endpoint);
    for (let index = 0; index < 1000; index++) tracer.startSpan(`s${index}`, "internal").end();
    await tracer.stop(5000);
    expect(spansOf(sink)).toHaveLength(1000);
    expect(sink.received.length).toBeGreaterThan(3);
    expect(await dropped()).toBe(0);
  });

  test("of a trace that is not sampled are not exported", async () => {
    await using sink = collector();
    const { tracer } = tracerTo(sink.endpoint);
    tracer.startSpan("work", "internal", { ...childOf(undefined), sampled: false }).end();
    await tracer.stop(5000);
    expect(sink.received).toHaveLength(0);
  });

  test("are dropped and counted, with one line in the log, when the collector is unavailable", async () => {
    const { tracer, lines, dropped } = tracerTo("http://127.0.0.1:1");
    for (let index = 0; index < 3000; index++) tracer.startSpan("work", "internal").end();
    expect(await dropped()).toBe(3000 - 2048);
    await tracer.stop(5000);
    expect(await dropped()).toBe(3000);
    expect(lines.filter((line) => line.includes("the trace collector is unavailable"))).toHaveLength(1);
  });

  test("are kept while the collector answers 503, and dropped when it refuses them", async () => {
    await using sink = collector();
    const { tracer, dropped } = tracerTo(sink.endpoint);
    sink.status = 400;
    tracer.startSpan("refused", "internal").end();
    await tracer.stop(5000);
    expect(await dropped()).toBe(1);
    sink.status = 503;
    tracer.startSpan("waiting", "internal").end();
    await tracer.stop(50);
    expect(await dropped()).toBe(2);
  });

  test("of a request have its route and status, and are in the trace of its caller", async () => {
    await using sink = collector();
    const { tracer } = tracerTo(sink.endpoint);
    const caller = childOf(undefined);
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
