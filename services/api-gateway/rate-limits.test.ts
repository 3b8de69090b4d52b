import { afterEach, expect, test } from "bun:test";
import { StockChanged } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

let gateway: GatewayFixture;
afterEach(() => gateway[Symbol.asyncDispose]());

const PER_MINUTE = 3;
/** As much as ten customers. */
const PER_MINUTE_AND_ADDRESS = 10 * PER_MINUTE;

const ask = (path: string, token: string | undefined, body: object, forwarded?: string) =>
  fetch(gateway.url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }),
    },
    body: JSON.stringify(body),
  });

/** The statuses of the same request, sent one after the other. */
async function statuses(times: number, send: (index: number) => Promise<Response>): Promise<number[]> {
  const all: number[] = [];
  for (let index = 0; index < times; index += 1) all.push((await send(index)).status);
  return all;
}

const order = { items: [{ productId: "CUP", quantity: 1 }] };

test("a customer's orders: 429 with Retry-After; another customer's are not refused", async () => {
  gateway = await startGatewayFixture({ RATE_LIMIT_ORDERS: String(PER_MINUTE) });
  const [eve, ann] = [await signIn(gateway, "EVE"), await signIn(gateway, "ANN")];
  // There is no such product, and asking counts all the same.
  expect(await statuses(4, () => ask("/orders", eve.token, order))).toEqual([422, 422, 422, 429]);
  const refused = await ask("/orders", eve.token, order);
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
  expect(await refused.json()).toMatchObject({ status: 429, type: "urn:problem-type:rate-limited" });
  const retryAfterS = Number(refused.headers.get("retry-after"));
  expect(retryAfterS).toBeGreaterThan(0);
  expect(retryAfterS).toBeLessThanOrEqual(60 / PER_MINUTE);
  expect((await ask("/orders", ann.token, order)).status).toBe(422);
  expect((await ask("/orders/X/cancel", eve.token, {})).status).toBe(404);
});

test("a customer's cancellations", async () => {
  gateway = await startGatewayFixture({ RATE_LIMIT_CANCELS: String(PER_MINUTE) });
  const eve = await signIn(gateway, "EVE");
  expect(await statuses(4, () => ask("/orders/X/cancel", eve.token, {}))).toEqual([404, 404, 404, 429]);
  expect((await ask("/orders", eve.token, order)).status).toBe(422);
});

test("many customers at one address", async () => {
  gateway = await startGatewayFixture({ RATE_LIMIT_ORDERS: String(PER_MINUTE) });
  const send = async (index: number) => ask("/orders", (await signIn(gateway, `EVE_${index}`)).token, order);
  const answers = await statuses(PER_MINUTE_AND_ADDRESS + 1, send);
  expect(answers.filter((status) => status === 422)).toHaveLength(PER_MINUTE_AND_ADDRESS);
  expect(answers.at(-1)).toBe(429);
});

test("sign-ins at one address, whatever X-Forwarded-For says", async () => {
  gateway = await startGatewayFixture({ RATE_LIMIT_SIGN_INS: "1" });
  const signInAs = (index: number) =>
    ask("/sessions", undefined, { customerId: `EVE_${index}` }, `198.51.100.${index}`);
  expect(await statuses(11, signInAs)).toEqual([...Array.from({ length: 10 }, () => 201), 429]);
});

test("behind a trusted proxy, each of its clients has an address of its own", async () => {
  gateway = await startGatewayFixture({ RATE_LIMIT_SIGN_INS: "1", TRUSTED_PROXIES: "127.0.0.0/8,::1" });
  const from = (address: string) => () => ask("/sessions", undefined, { customerId: "EVE" }, address);
  expect((await statuses(11, from("198.51.100.1"))).at(-1)).toBe(429);
  // Who invents an entry is counted by the one that the proxy has added.
  expect(await statuses(1, from("203.0.113.7, 198.51.100.1"))).toEqual([429]);
  expect(await statuses(1, from("198.51.100.2"))).toEqual([201]);
});

/** Two customers of a gateway that has a product and an empty outbox, from which nothing is sent. */
async function twoCustomersWithoutBroker() {
  gateway = await startGatewayFixture();
  const [eve, ann] = [await signIn(gateway, "EVE"), await signIn(gateway, "ANN")];
  const price = { amount: 1, currency: "EUR" };
  await gateway.publish(StockChanged, { productId: "CUP", name: "Cup", price, available: 9, version: 1 });
  await eventually(() => gateway.parts.store.product("CUP") !== undefined);
  await eventually(() => gateway.running.messaging.outbox.depth() === 0);
  gateway.isBrokerDown = true;
  return [eve, ann] as const;
}

test("replays and refusals take nothing of a customer's share of a full outbox", async () => {
  const [eve, ann] = await twoCustomersWithoutBroker();
  expect((await ann.place("X")).status).toBe(202);
  // The outbox of the fixture has room for a hundred messages; beyond, each customer's share is one.
  expect(await statuses(99, () => ask("/orders", eve.token, order))).not.toContain(503);
  expect(await statuses(3, () => ask("/orders", ann.token, { ...order, orderId: "X" }))).toEqual([
    202, 202, 202,
  ]);
  const unknown = { items: [{ productId: "NONE", quantity: 1 }] };
  expect(await statuses(3, () => ask("/orders", ann.token, unknown))).toEqual([422, 422, 422]);
  expect(await statuses(2, () => ask("/orders", ann.token, order))).toEqual([202, 503]);
});

test("one customer fills the outbox: 503 for them, while another one's order is accepted", async () => {
  const [eve, ann] = await twoCustomersWithoutBroker();
  // The outbox of the fixture has room for a hundred messages.
  const answers = await statuses(101, () => ask("/orders", eve.token, order));
  expect(answers).toEqual([...Array.from({ length: 100 }, () => 202), 503]);
  expect((await ask("/orders", ann.token, order)).status).toBe(202);
  expect((await ask("/orders", eve.token, order)).headers.get("retry-after")).toBe("10");
});
