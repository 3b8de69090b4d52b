import { describe, expect, test } from "bun:test";
import { serveForTest } from "../testing.ts";
import { createMetrics } from "./metrics.ts";

describe("metrics", () => {
  test("GET /metrics counts requests by the pattern of their route", async () => {
    const metrics = createMetrics("order");
    await using server = await serveForTest((app) => void app.get("/orders/:orderId", () => "ok"), {
      metrics,
    });
    for (const id of ["a", "b", "c"]) await fetch(`${server.url}/orders/${id}`);
    for (const path of ["/x", "/y", "/.env"]) await fetch(server.url + path, { method: "PROPFIND" });
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const text = await response.text();
    expect(text).toContain(
      'http_requests_total{method="GET",route="/orders/:orderId",status="200",app="order"} 3',
    );
    expect(text).toContain('http_requests_total{method="OTHER",route="none",status="404",app="order"} 3');
    expect(text).toMatch(/http_request_duration_seconds_count\{[^}]*route="\/orders\/:orderId"\} 3/);
    expect(text).not.toContain(".env");
  });

  test("reads gauges and totals when somebody asks", async () => {
    const metrics = createMetrics("order");
    let depth = 1;
    metrics.gauge("outbox_depth", "Waiting", () => depth);
    metrics.total("handled_total", "Handled", () => depth * 10);
    metrics.counter("skipped_total", "Skipped").add(4);
    metrics.gauges("parked", "Parked", "reason", () => new Map([["domain", depth]]));
    expect(await metrics.registry.metrics()).toContain('outbox_depth{app="order"} 1');
    depth = 7;
    const text = await metrics.registry.metrics();
    expect(text).toContain('outbox_depth{app="order"} 7');
    expect(text).toContain('handled_total{app="order"} 70');
    expect(text).toContain('skipped_total{app="order"} 4');
    expect(text).toContain('parked{reason="domain",app="order"} 7');
    expect(text).toContain("# TYPE handled_total counter");
    expect(text).toContain("# TYPE outbox_depth gauge");
  });

  test("a figure that cannot be read does not take the others with it", async () => {
    const metrics = createMetrics("order");
    metrics.gauge("broken", "Broken", () => {
      throw new Error("the database is closed");
    });
    metrics.gauges("broken_too", "Broken", "what", () => {
      throw new Error("the database is closed");
    });
    const text = await metrics.registry.metrics();
    expect(text).toContain('broken{app="order"} Nan');
    expect(text).toMatch(/process_resident_memory_bytes\{app="order"\} [1-9]/);
    expect(text).toMatch(/process_cpu_seconds_total\{app="order"\} \d/);
  });

  test("two services in one process do not mix", async () => {
    const first = createMetrics("first");
    createMetrics("second").counter("only_second_total", "x").add();
    expect(await first.registry.metrics()).not.toContain("only_second_total");
  });
});
