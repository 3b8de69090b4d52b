import { expect, test } from "bun:test";
import { PlaceOrder, StockChanged } from "@distributed-messaging/contracts";
import { signIn, startGatewayFixture } from "./testing/fixture.ts";

const price = { amount: 250, currency: "EUR" };

async function gatewayWith(env: Record<string, string>) {
  const gateway = await startGatewayFixture(env);
  await gateway.handle(StockChanged, { productId: "CUP", name: "Cup", price, available: 9, version: 1 });
  return gateway;
}

test("with ACCEPT=replicated the broker has an order when its answer comes; while it is away, the answer says so", async () => {
  await using gateway = await gatewayWith({ ACCEPT: "replicated" });
  const client = await signIn(gateway, "ANN");
  expect(await client.place("ONE")).toMatchObject({ status: 202, durability: "replicated" });
  // What the broker has acknowledged, the next commit deletes here.
  await gateway.running.messaging.unitOfWork.run(() => {});
  expect(gateway.running.messaging.outbox.depth()).toBe(0);

  gateway.isBrokerDown = true;
  expect(await client.place("TWO")).toMatchObject({ status: 202, durability: "local" });
  expect(await client.place("THREE")).toMatchObject({ status: 202, durability: "local" });
  expect(await client.place("TWO")).toMatchObject({ replayed: true, durability: "local" });
  gateway.isBrokerDown = false;
  const isSent = () => gateway.running.messaging.whenAcknowledged(10_000);
  while (!(await isSent())) await Bun.sleep(10);
  expect(await client.place("TWO")).toMatchObject({ replayed: true, durability: "replicated" });
  expect(await client.cancel("TWO")).toMatchObject({ status: 202, durability: "replicated" });
  expect(gateway.emitted(PlaceOrder).length).toBe(3);
});

test("without it, an order is accepted once it is on the disk, and nothing is said of the broker", async () => {
  await using gateway = await gatewayWith({});
  const client = await signIn(gateway, "ANN");
  expect((await client.place("ONE")).durability).toBeUndefined();
});
