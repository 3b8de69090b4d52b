import { describe, expect, test } from "bun:test";
import { CONTENT_TYPE } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, letter, letters } from "../testing/dead-letter-fixture.ts";
import { serveForTest } from "../testing/http.ts";
import { addMessagingMetrics, createMetrics } from "./metrics.ts";

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

  test("gauges and totals are read at each scrape", async () => {
    const metrics = createMetrics("order");
    let depth = 1;
    metrics.gauge("depth", "Depth", () => depth);
    metrics.total("handled_total", "Handled", () => depth * 10);
    expect(await metrics.registry.metrics()).toContain('depth{app="order"} 1');
    depth = 7;
    const text = await metrics.registry.metrics();
    expect(text).toContain('depth{app="order"} 7');
    expect(text).toContain('handled_total{app="order"} 70');
    expect(text).toContain("# TYPE handled_total counter");
    expect(text).toContain("# TYPE depth gauge");
  });

  test("a value that cannot be read does not fail the scrape", async () => {
    const metrics = createMetrics("order");
    metrics.gauge("broken", "Broken", () => {
      throw new Error("the database is closed");
    });
    const text = await metrics.registry.metrics();
    expect(text).toContain('broken{app="order"} Nan');
    expect(text).toMatch(/process_resident_memory_bytes\{app="order"\} [1-9]/);
    expect(text).toMatch(/process_cpu_seconds_total\{app="order"\} \d/);
    expect(text).toMatch(/process_heap_bytes\{app="order"\} [1-9]/);
    expect(text).toMatch(/process_start_time_seconds\{app="order"\} [1-9]/);
  });

  test("two services in one process have separate metrics", async () => {
    const first = createMetrics("first");
    createMetrics("second").total("only_second_total", "x", () => 1);
    expect(await first.registry.metrics()).not.toContain("only_second_total");
  });

  test("messages, dead letters and timers are counted, and remain readable when the database is closed", async () => {
    const fixture = await DeadLetterFixture.open();
    const metrics = createMetrics("reader");
    try {
      const { messaging } = fixture.running;
      addMessagingMetrics(metrics, messaging);
      const encoded = JSON.stringify(letter("a", "1"));
      const headers = { "content-type": CONTENT_TYPE };
      await fixture.broker.publish([
        { topic: letters.name, key: "a", value: encoded, headers },
        { topic: letters.name, key: "g", value: "not JSON", headers },
      ]);
      const dueAt = Date.now() + 3_600_000;
      await messaging.unitOfWork.run((transaction) => {
        transaction.setTimer({ name: "remind", key: "a", dueAt });
      });
      await eventually(() => fixture.parts.handled().length === 1 && messaging.deadLetters.count() === 1);
      await eventually(() => messaging.outbox.depth() === 0);
      const text = await metrics.registry.metrics();
      for (const line of [
        "# TYPE messages_handled_total counter",
        'messages_handled_total{app="reader"} 1',
        "# TYPE messages_parked_total counter",
        'messages_parked_total{app="reader"} 1',
        'outbox_depth{app="reader"} 0',
        'outbox_oldest_age_seconds{app="reader"} 0',
        'dead_letters{app="reader"} 1',
        'dead_letters_by_reason{reason="undecodable",app="reader"} 1',
        'dead_letters_by_reason{reason="blocked",app="reader"} 0',
        'timers_pending{app="reader"} 1',
        'timers_failed{app="reader"} 0',
      ]) {
        expect(text).toContain(`${line}\n`);
      }
    } finally {
      await fixture[Symbol.asyncDispose]();
    }
    const text = await metrics.registry.metrics();
    expect(text).toContain('dead_letters{app="reader"} Nan');
    expect(text).not.toContain("dead_letters_by_reason{");
    expect(text).toContain('messages_handled_total{app="reader"} 1');
  });
});
