import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { orderIdOf } from "@distributed-messaging/contracts";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { provision } from "@distributed-messaging/redpanda/provision";
import type { Listening } from "@distributed-messaging/service/http";
import { services, storeTopics } from "@distributed-messaging/services/registry";
import { serveSupervisor } from "../http.ts";
import { freePorts } from "../ports.ts";
import type { Movement } from "../reports.ts";
import { Supervisor } from "../supervisor.ts";

/* The routes that show a broker and the services, and those that publish records and forward requests. */

const dataDir = mkdtempSync(join(tmpdir(), "supervisor-"));
const [port = 0, brokerPort = 0] = freePorts(2);
const brokers = [`127.0.0.1:${brokerPort}`];
const startEmbedded = () => startBroker({ dataDir, host: "127.0.0.1", port: brokerPort });
const received: string[] = [];
/** Stands for every service: records its requests. */
const service = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/metrics") {
      return new Response(
        'outbox_depth{app="x"} 3\noutbox_oldest_age_seconds 1.5\ndead_letters{app="x"} 2\n' +
          'messaging_partitions_stopped{reason="gap"} 1\nmessaging_partitions_stopped{reason="damaged"} 2\n',
      );
    }
    if (pathname === "/readiness") {
      const problem = (check: string, detail: string) => ({ check, detail, remedy: "Mend it." });
      const problems = [problem("storage", "The disk is full."), problem("broker", "The broker is away.")];
      return Response.json({ problems }, { status: 503 });
    }
    const body = await request.text();
    received.push(`${request.method} ${pathname}${search} ${request.headers.get("authorization")} ${body}`);
    return Response.json({ type: "urn:problem-type:example" }, { status: 409 });
  },
});
let broker: Broker;
let listening: Listening;
let inspector: KafkaInspector;

beforeAll(async () => {
  broker = await startEmbedded();
  await provision({ brokers, clientId: "test" }, storeTopics);
  listening = await serveSupervisor({
    supervisor: new Supervisor([]),
    urlOf: (name) => (name === "notification" ? "http://127.0.0.1:1" : `http://127.0.0.1:${service.port}`),
    kafka: { brokers, clientId: "test" },
    port,
    pagePort: services["api-gateway"].port,
  });
  inspector = new KafkaInspector({ brokers, clientId: "test" }, storeTopics, [], silentLogger);
});
afterAll(async () => {
  await listening.stop(0);
  await inspector.close();
  await service.stop(true);
  await broker.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const request = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`http://localhost:${port}${path}`, init);
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
};
const order = (topic: string, orderId: string, value: string) => ({
  topic,
  key: orderId,
  value,
  headers: { n: value },
});

describe("the broker", () => {
  test("topics with their offsets; the latest records, newest first, cut to a length", async () => {
    const long = "x".repeat(5_000);
    const before = Date.now();
    await inspector.publish([
      order("order.events", "A", "1"),
      order("order.events", "B", "2"),
      order("order.events", "A", long),
    ]);
    const { body: topics } = await request("/topics");
    expect(topics.map(({ name }: { name: string }) => name)).toEqual(storeTopics.map(({ name }) => name));
    const events = topics.find(({ name }: { name: string }) => name === "order.events");
    const held = events.partitions.map(
      (one: { earliest: number; latest: number }) => one.latest - one.earliest,
    );
    expect(held.reduce((sum: number, one: number) => sum + one, 0)).toBe(3);
    const { body: latest } = await request("/topics/order.events/messages");
    expect(
      latest.map(({ key, value }: { key: string; value: string }) => [key, value.length]).toSorted(),
    ).toEqual([
      ["A", 1],
      ["A", 4_000],
      ["B", 1],
    ]);
    for (const { at } of latest) {
      expect(at).toBeGreaterThanOrEqual(before);
      expect(at).toBeLessThanOrEqual(Date.now());
    }
    expect(await request("/topics/nothing/messages")).toMatchObject({
      status: 404,
      body: { type: "urn:problem-type:topic-not-found" },
    });
  });

  test("every record of one order, from all topics and whole, and of no other order", async () => {
    const long = "x".repeat(20_000);
    await inspector.publish([
      order("order.commands", "L", long),
      order("order.commands", "C", "command"),
      order("order.events", "D", "other"),
      order("order.events", "C", "event"),
      order("inventory.events", "C", "answer"),
    ]);
    const { body } = await request("/orders/C/messages");
    expect(
      body.map(({ topic, value }: { topic: string; value: string }) => `${topic} ${value}`).toSorted(),
    ).toEqual(["inventory.events answer", "order.commands command", "order.events event"]);
    expect((await request("/orders/L/messages")).body).toMatchObject([{ value: long }]);
    expect((await request("/orders/NOBODY/messages")).body).toEqual([]);
    expect((await request("/orders/no%20id/messages")).status).toBe(422);
  });

  test("deliver-again publishes the same records again, with their headers", async () => {
    await inspector.publish([order("order.commands", "E", "one"), order("order.events", "E", "two")]);
    expect(await request("/orders/E/deliver-again", { method: "POST" })).toEqual({
      status: 200,
      body: { orderId: "E", records: { "order.commands": 1, "order.events": 1 } },
    });
    const records = await inspector.ofKey("E", ["order.commands", "order.events"]);
    expect(records.map(({ headers }) => headers.n).toSorted()).toEqual(["one", "one", "two", "two"]);
    expect(await request("/orders/NOBODY/deliver-again", { method: "POST" })).toMatchObject({ status: 404 });
  });

  test("broken-message publishes a record with the order's key", async () => {
    const broken = (path: string) => request(`/orders/${path}`, { method: "POST" });
    expect(await broken("F/broken-message")).toMatchObject({ status: 200, body: { key: "F" } });
    expect(await broken("F/broken-message?customerId=ANN")).toMatchObject({
      body: { key: orderIdOf("ANN", "F") },
    });
    expect((await request("/orders/F/messages?customerId=ANN")).body).toMatchObject([
      { key: orderIdOf("ANN", "F") },
    ]);
    // An order that was placed when ids were names.
    expect((await request("/orders/E/messages?customerId=ANN")).body).toMatchObject([
      { key: "E" },
      {},
      {},
      {},
    ]);
    const [record] = await inspector.ofKey("F", ["order.commands"]);
    expect(new TextDecoder().decode(record?.value ?? undefined)).toBe("not a message");
  });

  test("traffic: what was stored and handled since an earlier answer, with a sample; nothing of before", async () => {
    const traffic = async (after: number) => (await request(`/traffic?after=${after}`)).body;
    const first = (await request("/traffic")).body;
    expect(first.movements).toEqual([]);
    const message = JSON.stringify({ type: "store.order.placed.v1", source: "order/2" });
    await inspector.publish([
      ...Array.from({ length: 8 }, () => order("order.events", "G", message)),
      order("order.commands", "G", "not a message"),
    ]);
    const moved: Movement[] = [];
    let { next } = first;
    await eventually(async () => {
      const report = await traffic(next);
      next = report.next;
      moved.push(...report.movements);
      return moved.reduce((sum, { stored }) => sum + stored, 0) === 9;
    }, "the records to be reported");
    const of = (topic: string) => moved.filter((movement) => movement.topic === topic);
    const events = of("order.events");
    expect(events.reduce((sum, { stored }) => sum + stored, 0)).toBe(8);
    const sample = events.flatMap((movement) => movement.sample);
    expect(sample[0]).toMatchObject({ key: "G", type: "store.order.placed.v1", sender: "order" });
    expect(sample.length).toBeLessThan(8);
    expect(of("order.commands").flatMap((movement) => movement.sample)).toMatchObject([
      { key: "G", type: null, sender: null },
    ]);
    // Every page gets what it has not seen, however often others ask.
    expect((await traffic(first.next)).movements).toEqual(moved);
    expect((await request("/traffic")).body.movements).toEqual([]);
    expect((await request("/traffic?after=x")).status).toBe(422);
  });

  test("a broker that does not answer is a 503 until it is back, and no listeners are left at its sockets", async () => {
    using warning = spyOn(process, "emitWarning");
    await inspector.topics();
    await broker.stop();
    const asked = await Promise.allSettled(Array.from({ length: 12 }, () => inspector.topics()));
    expect(asked.map(({ status }) => status)).toEqual(asked.map(() => "rejected"));
    expect(await request("/orders/A/messages")).toMatchObject({
      status: 503,
      body: { type: "urn:problem-type:broker-silent" },
    });
    expect((await request("/figures")).body.lag).toBeNull();
    expect((await request("/traffic")).body.movements).toBeNull();
    broker = await startEmbedded();
    expect((await request("/orders/A/messages")).body).toHaveLength(2);
    expect(warning.mock.calls).toEqual([]);
  });

  test("a broker that restarted between two requests makes no difference", async () => {
    for (let time = 1; time <= 2; time++) {
      await request("/orders/A/messages");
      await broker.stop();
      broker = await startEmbedded();
      expect((await request("/orders/A/messages")).status).toBe(200);
      expect(await request("/orders/A/deliver-again", { method: "POST" })).toMatchObject({ status: 200 });
    }
  });
});

describe("the services", () => {
  test("figures come from their metrics, and are null for a service that is down", async () => {
    const { services } = (await request("/figures")).body;
    const of = (name: string) => services.find((one: { name: string }) => one.name === name);
    expect(of("order")).toMatchObject({
      outboxDepth: 3,
      outboxOldestAgeS: 1.5,
      deadLetters: 2,
      outboxParked: null,
      partitionsStopped: 3,
      handled: null,
      problems: ["The disk is full. Mend it.", "The broker is away. Mend it."],
    });
    expect(of("notification")).toMatchObject({ outboxDepth: null, deadLetters: null, problems: [] });
  });

  test("requests for dead letters and stock are forwarded with the token, and the answers returned unchanged", async () => {
    const headers = { authorization: "Bearer t", "content-type": "application/json" };
    const replay = { method: "POST", headers, body: '{"dryRun":true}' };
    expect(await request("/services/order/dead-letters/7/replay", replay)).toEqual({
      status: 409,
      body: { type: "urn:problem-type:example" },
    });
    await request("/services/order/dead-letters?limit=3&key=A", { headers });
    await request("/services/inventory/stock/PRODUCT_001");
    expect(received).toEqual([
      'POST /dead-letters/7/replay Bearer t {"dryRun":true}',
      "GET /dead-letters?limit=3&key=A Bearer t ",
      "GET /stock/PRODUCT_001 null ",
    ]);
  });

  test.each([
    "/services/order/metrics",
    "/services/order/stock/PRODUCT_001",
    "/services/inventory/automation-testing/all",
    "/services/inventory/dead-letters/../automation-testing/all",
    "/services/inventory/dead-letters/%2e%2e/automation-testing/all",
    "/services/inventory/stock/%2e%2e%2fautomation-testing",
    "/services/nobody/dead-letters",
  ])("no other path is forwarded: %s", async (path) => {
    const before = received.length;
    for (const method of ["GET", "DELETE"]) expect((await request(path, { method })).status).toBe(404);
    expect(received).toHaveLength(before);
  });

  test("a service that is down is a 503", async () => {
    expect(await request("/services/notification/dead-letters")).toMatchObject({
      status: 503,
      body: { type: "urn:problem-type:service-silent" },
    });
  });
});
