import { afterAll, beforeAll, expect, test } from "bun:test";
import { orderIdOf, PlaceOrder } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { read } from "../support/answers.ts";
import { cloudEvent } from "../support/bad-messages.ts";
import { describeOwn, OwnStore } from "../support/own-store.ts";
import { type ReceivedSpan, TraceReceiver } from "./receiver.ts";

const LIMIT_MS = 120_000;
const STATUS_ERROR = 2;
const CALLER = "b7ad6b7169203331";
const items = [{ productId: "PRODUCT_006", quantity: 1 }];

const traceparent = (traceId: string) => `00-${traceId}-${CALLER}-01`;

/** The hops of an order that is confirmed, as `service: span`. */
const HOPS = [
  "api-gateway: POST /orders",
  "api-gateway: unit of work",
  "api-gateway: send order.commands",
  "order: receive order.commands",
  "order: process order.commands",
  "order: send order.events",
  "inventory: process order.events",
  "inventory: send inventory.events",
  "order: process inventory.events",
  "notification: process order.events",
  "api-gateway: process order.events",
];

describeOwn("an order is one trace at an OTLP receiver", () => {
  let receiver: TraceReceiver;
  let store: OwnStore;
  beforeAll(async () => {
    receiver = new TraceReceiver();
    store = new OwnStore({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20collector",
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
        OTEL_BSP_SCHEDULE_DELAY: "100",
      },
    });
    await store.startAll();
    await store.seed();
  }, LIMIT_MS);
  afterAll(async () => {
    await store.dispose();
    await receiver.stop();
  }, LIMIT_MS);

  /** Waits for the hops of a trace. @returns its spans, each of which has its parent among them, or is the caller's child */
  async function traceWith(traceId: string, hops: readonly string[]): Promise<ReceivedSpan[]> {
    return eventually(() => {
      const spans = receiver.ofTrace(traceId);
      const found = new Set(spans.map(({ service, name }) => `${service}: ${name}`));
      for (const hop of hops) if (!found.has(hop)) throw new Error(`no ${hop} of ${[...found].join(", ")}`);
      const ids = new Set([CALLER, ...spans.map(({ spanId }) => spanId)]);
      const orphans = spans.filter(({ parentSpanId = "none" }) => !ids.has(parentSpanId));
      if (orphans.length > 0) throw new Error(`no parent of ${orphans.map(({ name }) => name).join(", ")}`);
      return spans;
    }, `the spans of trace ${traceId}`);
  }

  test(
    "held up in the outbox by a stopped broker: every hop of every service, with the caller's tracestate",
    async () => {
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const customer = await store.signIn("TRACED");
      await store.supervisor.process("broker").stop();
      const headers = { traceparent: traceparent(traceId), tracestate: "vendor=1" };
      const { orderId } = await customer.place({ items }, headers);
      await eventually(() => receiver.ofTrace(traceId).length > 0, "the request's span");
      expect(receiver.ofTrace(traceId).map(({ name }) => name)).not.toContain("send order.commands");
      const startedAt = Date.now();
      await store.supervisor.process("broker").start();
      await customer.until(orderId, "confirmed");
      const servicesOf = () => [...new Set(receiver.ofTrace(traceId).map(({ service }) => service))].sort();
      await eventually(() => servicesOf().length >= serviceNames.length, "a span of each service");
      expect(servicesOf()).toEqual([...serviceNames].sort());
      const spans = await traceWith(traceId, HOPS);
      for (const { traceState } of spans) expect(traceState).toBe("vendor=1");
      const sent = spans.find(({ name }) => name === "send order.commands");
      const request = spans.find(({ name }) => name === "POST /orders");
      expect(sent?.parentSpanId).toBe(request?.spanId ?? "");
      expect(Number(sent?.endTimeUnixNano) / 1e6).toBeGreaterThan(startedAt);
      expect(receiver.headers.get("authorization")).toBe("Bearer collector");
      expect(receiver.resource).toMatchObject({ "deployment.environment.name": "test" });
    },
    LIMIT_MS,
  );

  test(
    "through a replayed dead letter: its failure, its replay with a link to the operator's request, and the rest",
    async () => {
      const traceId = "1af7651916cd43dd8448eb211c80319c";
      const operatorTrace = "2af7651916cd43dd8448eb211c80319c";
      const customer = await store.signIn("REPLAYED");
      const admin = await store.signIn("ADMIN", "admin");
      const key = orderIdOf(customer.id, "STUCK");
      const price = { amount: 650, currency: "EUR" };
      const lines = items.map((item) => ({ ...item, unitPrice: price }));
      const data = { orderId: key, customerId: customer.id, items: lines, total: price };
      const poison = cloudEvent({
        type: PlaceOrder.type,
        subject: key,
        traceparent: traceparent(traceId),
        data: { ...data, items: [] },
      });
      await store.records.write([
        {
          topic: PlaceOrder.topic.name,
          key: Buffer.from(key),
          value: Buffer.from(JSON.stringify(poison)),
          headers: { traceparent: traceparent(traceId) },
        },
      ]);
      await customer.place({ orderId: "STUCK", items });
      const headers = {
        ...admin.authorization,
        "content-type": "application/json",
        traceparent: traceparent(operatorTrace),
      };
      const ask = (path: string, method: string, body?: unknown) =>
        store.request("order", `/dead-letters${path}`, {
          method,
          headers,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      const Letters = Type.Array(Type.Object({ id: Type.Integer() }));
      const { id } = await eventually(async () => {
        const [letter] = read(Letters, await ask(`?key=${key}&reason=schema`, "GET"));
        return letter;
      }, "the poison to be parked");
      read(Type.Unknown(), await ask(`/${id}/message`, "PUT", { ...poison, data }));
      expect((await ask(`/${id}/replay`, "POST")).body).toEqual({ id, outcome: "handled" });
      await customer.until("STUCK", "confirmed");
      const spans = await traceWith(traceId, [
        "order: replay order.commands",
        "inventory: process order.events",
        "order: process inventory.events",
        "notification: process order.events",
        "api-gateway: process order.events",
      ]);
      const failed = spans.find(({ name }) => name === "process order.commands");
      expect(failed).toMatchObject({ parentSpanId: CALLER, status: { code: STATUS_ERROR } });
      const replay = spans.find(({ name }) => name === "replay order.commands");
      expect(replay?.parentSpanId).toBe(CALLER);
      const request = await eventually(
        () => receiver.ofTrace(operatorTrace).find(({ name }) => name.startsWith("POST /dead-letters")),
        "the span of the operator's request",
      );
      expect(replay?.links).toMatchObject([{ traceId: operatorTrace, spanId: request.spanId }]);
    },
    LIMIT_MS,
  );
});
