import { afterEach, beforeEach, expect, test } from "bun:test";
import { type GatewayFixture, startGatewayFixture } from "@distributed-messaging/api-gateway/testing/fixture";
import { SigningKeyPublished } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import {
  type NotificationFixture,
  startNotificationFixture,
} from "@distributed-messaging/notification/testing/fixture";

/* A service on another machine than the gateway: it fetches the keys, and no file is shared. */

let gateway: GatewayFixture;
let notification: NotificationFixture["fixture"];
beforeEach(async () => {
  gateway = await startGatewayFixture();
  const env = { AUTH_JWKS_URL: `${gateway.url}/.well-known/jwks.json` };
  ({ fixture: notification } = await startNotificationFixture(env));
});
afterEach(async () => {
  await notification[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

const signIn = async () => (await gateway.parts.sessions.signIn("ANN", "customer", Date.now())).token;
const statusOf = async (token: string) =>
  (await fetch(`${notification.url}/notifications`, { headers: { authorization: `Bearer ${token}` } }))
    .status;

/** What the broker between the two does. */
async function deliverLastEvent(): Promise<void> {
  const event = gateway.emitted(SigningKeyPublished).at(-1);
  if (event === undefined) throw new Error("no key is announced");
  await notification.handle(SigningKeyPublished, event.data);
}

test("tokens are verified while the gateway is down, also after a restart", async () => {
  const token = await signIn();
  expect(await statusOf(token)).toBe(200);
  await gateway.stop();
  await notification.restart();
  expect(await statusOf(token)).toBe(200);
});

test("a rotated key is found at once, and the former one is valid meanwhile", async () => {
  const before = await signIn();
  expect(await statusOf(before)).toBe(200);
  await gateway.parts.sessions.rotate(gateway.running.messaging.unitOfWork);
  const after = await signIn();
  await deliverLastEvent();
  expect([await statusOf(after), await statusOf(before)]).toEqual([200, 200]);
});

test("a withdrawn key verifies nothing after its event, and stays withdrawn when older events are replayed", async () => {
  const stolen = await signIn();
  const [key] = gateway.parts.sessions.keys();
  const [event] = gateway.emitted(SigningKeyPublished);
  expect(await statusOf(stolen)).toBe(200);
  await gateway.parts.sessions.withdraw(key?.keyId ?? "", gateway.running.messaging.unitOfWork);
  await deliverLastEvent();
  await eventually(async () => (await statusOf(stolen)) === 401, "the withdrawn key to be dropped");
  if (event !== undefined) await notification.handle(SigningKeyPublished, event.data);
  await notification.restart();
  expect(await statusOf(stolen)).toBe(401);
  expect(await statusOf(await signIn())).toBe(200);
});
