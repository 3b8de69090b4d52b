import { expect, test } from "bun:test";
import { OrderConfirmed, OrderPlaced, orderIdOf, StockChanged } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { createMetrics } from "@distributed-messaging/service/metrics";
import { signIn, startGatewayFixture } from "./testing/fixture.ts";

const price = { amount: 1000, currency: "EUR" };

test("the time from the acceptance of an order to each status is measured, once, and not again by a rebuild", async () => {
  await using gateway = await startGatewayFixture();
  const metrics = createMetrics("api-gateway");
  gateway.running.measure?.(metrics);
  const series = async (name: string) => {
    const text = await metrics.registry.metrics();
    const lines = text.matchAll(
      new RegExp(`^order_status_seconds_${name}\\{.*status="(\\w+)"\\} (\\S+)$`, "gm"),
    );
    return Object.fromEntries([...lines].map(([, status, value]) => [status, Number(value)]));
  };
  const ann = await signIn(gateway, "ANN");
  const admin = await signIn(gateway, "ADMIN", "admin");
  await gateway.publish(StockChanged, { productId: "CUP", name: "Cup", price, available: 9, version: 1 });
  await eventually(() => gateway.parts.store.product("CUP") !== undefined);
  await ann.place("X", 2);
  const ids = { orderId: orderIdOf("ANN", "X"), customerId: "ANN" };
  gateway.aheadMs = 5_000;
  const items = [{ productId: "CUP", quantity: 2, unitPrice: price }];
  await gateway.publish(OrderPlaced, { ...ids, items, total: { ...price, amount: 2000 } });
  await eventually(() => gateway.parts.store.orderNamed("ANN", "X")?.status === "pending");
  gateway.aheadMs = 60_000;
  await gateway.publish(OrderConfirmed, ids, { times: 2 });
  await eventually(() => gateway.parts.store.orderNamed("ANN", "X")?.status === "confirmed");
  await eventually(async () => Object.hasOwn(await series("count"), "confirmed"));
  expect(await series("count")).toEqual({ pending: 1, confirmed: 1 });
  const { pending = 0, confirmed = 0 } = await series("sum");
  // The clock was set ahead: what is above that is how long the test takes.
  expect(Math.floor(pending / 5)).toBe(1);
  expect(Math.floor(confirmed / 60)).toBe(1);
  expect((await admin.post("/rebuild", {})).status).toBe(202);
  await eventually(() => gateway.rebuild.status().phase === "done");
  expect(await series("count")).toEqual({ pending: 1, confirmed: 1 });
});
