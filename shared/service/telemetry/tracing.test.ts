import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { commonSettings, loadConfig, recordsSpans } from "../config.ts";
import { captureLogger, serveForTest } from "../testing/http.ts";
import { createMetrics } from "./metrics.ts";
import { createTracing } from "./tracing.ts";

interface Exported {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly spans: readonly { readonly name: string; readonly traceId: string }[];
    }[];
  }[];
}

let status = 200;
let received: { name: string; traceId: string }[] = [];
const collector = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { resourceSpans } = (await request.json()) as Exported;
    if (status !== 200) return new Response(null, { status });
    received.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
    return Response.json({});
  },
});

/** What the SDK reads from the environment. */
const settings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
  OTEL_BSP_SCHEDULE_DELAY: "10",
  OTEL_BSP_MAX_QUEUE_SIZE: "100",
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "50",
};

afterAll(() => collector.stop(true));
beforeEach(() => {
  Object.assign(process.env, settings);
  received = [];
  status = 200;
});
afterEach(() => {
  for (const name of [...Object.keys(settings), "OTEL_TRACES_SAMPLER"]) delete process.env[name];
});

function startTracing(env: Readonly<Record<string, string>> = {}) {
  const { log, lines } = captureLogger("test", "info");
  const metrics = createMetrics("test");
  const config = loadConfig(Type.Object(commonSettings), { ...settings, ...env }, "test");
  const tracing = createTracing("test", config, { log, metrics });
  const dropped = async () =>
    Number(/^trace_spans_dropped_total\{.*\} (\d+)$/m.exec(await metrics.registry.metrics())?.[1]);
  return { tracing, lines, dropped };
}

test("spans are recorded with an endpoint, unless the SDK is disabled", () => {
  const records = (env: Readonly<Record<string, string>>) =>
    recordsSpans(loadConfig(Type.Object(commonSettings), { ...settings, ...env }, "test"));
  expect(records({})).toBe(true);
  expect(records({ OTEL_EXPORTER_OTLP_ENDPOINT: "" })).toBe(false);
  const { OTEL_EXPORTER_OTLP_ENDPOINT: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = settings;
  expect(records({ OTEL_EXPORTER_OTLP_ENDPOINT: "", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT })).toBe(true);
  expect(records({ OTEL_SDK_DISABLED: "true" })).toBe(false);
});

test("spans are exported in batches, and those of the last moments at the stop", async () => {
  const { tracing, dropped } = startTracing();
  for (let index = 0; index < 60; index++) tracing.tracer.startSpan(`span ${index}`).end();
  await eventually(() => received.length === 60, "60 spans");
  tracing.tracer.startSpan("last").end();
  await tracing.stop(5_000);
  expect(received.map(({ name }) => name)).toContain("last");
  expect(await dropped()).toBe(0);
});

test("while the collector refuses, one line is logged and spans are dropped and counted; then it goes on", async () => {
  const { tracing, lines, dropped } = startTracing();
  status = 400;
  for (let round = 1; round <= 3; round++) {
    tracing.tracer.startSpan("lost").end();
    await eventually(async () => (await dropped()) === round, "the span to be dropped");
  }
  status = 200;
  tracing.tracer.startSpan("kept").end();
  await eventually(() => received.length === 1, "the next span");
  await eventually(() => lines.length === 2, "two lines");
  expect(lines[0]).toContain("the trace collector is unavailable: ");
  expect(lines[1]).toContain("the trace collector is available again");
  await tracing.stop(5_000);
});

test("more spans than the queue holds are dropped and counted", async () => {
  const { tracing, dropped } = startTracing();
  for (let index = 0; index < 130; index++) tracing.tracer.startSpan("many").end();
  await eventually(() => received.length === 100, "what the queue held");
  expect(await dropped()).toBe(30);
  await tracing.stop(5_000);
});

test("a request is a span in the trace of its caller; what the sampler leaves out is none", async () => {
  const { tracing } = startTracing();
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  {
    await using server = await serveForTest((app) => app.get("/hello/:name", () => "hello"), tracing);
    const response = await fetch(`${server.url}/hello/you`, { headers: { traceparent } });
    expect(response.headers.get("traceparent")).toMatch(
      /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/,
    );
    await eventually(() => received.length === 1, "the span");
    expect(received).toMatchObject([
      { name: "GET /hello/:name", traceId: "0af7651916cd43dd8448eb211c80319c" },
    ]);
  }
  await tracing.stop(5_000);
  process.env.OTEL_TRACES_SAMPLER = "always_off";
  const { tracing: off } = startTracing();
  await using server = await serveForTest((app) => app.get("/hello", () => "hello"), off);
  const response = await fetch(`${server.url}/hello`, { headers: { traceparent } });
  expect(response.headers.get("traceparent")).toMatch(
    /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/,
  );
  await off.stop(5_000);
  expect(received).toHaveLength(1);
});
