import { afterEach, beforeEach, expect, test } from "bun:test";
import { SigningKeyPublished, topics } from "@distributed-messaging/contracts";
import {
  encode,
  Messaging,
  message,
  openDatabase,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually, failureOf } from "@distributed-messaging/messaging/testing";
import { generateSigningKey, issueToken, type SigningKey, verifyToken } from "./auth.ts";
import { SigningKeys } from "./signing-keys.ts";

let database: ServiceDatabase;
let broker: MemoryBroker;
let messaging: Messaging;
let keys: SigningKeys;

function start(): void {
  keys = new SigningKeys(database);
  messaging = new Messaging({
    service: "order",
    database,
    transport: broker,
    definitions: [SigningKeyPublished],
    handlers: [keys.handler],
    deadLetterTopic: "order.dead-letters",
    runtime: systemRuntime,
    log: silentLogger,
  });
  messaging.start();
}

beforeEach(() => {
  database = openDatabase(":memory:");
  broker = new MemoryBroker([topics.gatewayKeys], systemRuntime);
  start();
});
afterEach(async () => {
  await messaging.stop();
  database.close();
});

function publish({ keyId, publicJwk }: SigningKey): Promise<void> {
  const id = Bun.randomUUIDv7();
  const time = new Date().toISOString();
  const origin = { id, source: "api-gateway", time, correlationid: id, causationid: id };
  const envelope = message(SigningKeyPublished, { keyId, publicKey: publicJwk }, origin);
  return broker.publish([encode(SigningKeyPublished, envelope)]);
}

const tokenOf = ({ privateJwk, keyId }: SigningKey) =>
  issueToken(privateJwk, { customerId: "root", role: "admin", keyId, now: Date.now(), ttlS: 60 });

test("no token is good before its key has come, and then it is, also after a restart", async () => {
  const key = await generateSigningKey();
  const token = await tokenOf(key);
  expect(await failureOf(verifyToken(token, keys.find, Date.now()))).toContain("not valid");
  await publish(key);
  await eventually(() => keys.find(key.keyId) !== undefined);
  expect(await verifyToken(token, keys.find, Date.now())).toMatchObject({ role: "admin" });
  await messaging.stop();
  start();
  expect(keys.find(key.keyId)).toEqual(key.publicJwk);
});

test("several keys stand side by side: those who signed in with the last one stay signed in", async () => {
  const [first, second] = [await generateSigningKey(), await generateSigningKey()];
  await publish(first);
  await publish(second);
  await publish(first);
  await eventually(() => messaging.consumer.counts.handled === 3);
  for (const key of [first, second]) {
    expect(await verifyToken(await tokenOf(key), keys.find, Date.now())).toMatchObject({
      customerId: "root",
    });
  }
});
