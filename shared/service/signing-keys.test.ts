import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closed,
  deadLetterTopic,
  define,
  encode,
  Messaging,
  message,
  openDatabase,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
  type Topic,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually, failureOf } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { generateSigningKey, issueToken, type SigningKey, SigningKeys } from "./identity.ts";

const keys: Topic = { name: "keys", key: "keyId", partitions: 1, config: {} };
const KeyPublished = define({
  type: "test.key.published.v1",
  kind: "event",
  source: "issuer",
  topic: keys,
  key: "keyId",
  data: Type.Object(
    {
      keyId: Type.String(),
      publicKey: Type.Object(
        { kty: Type.Literal("OKP"), crv: Type.Literal("Ed25519"), x: Type.String() },
        closed,
      ),
    },
    closed,
  ),
});
const claims = { issuer: "test", audience: "test" };

let database: ServiceDatabase;
let broker: MemoryBroker;
let messaging: Messaging;
let signingKeys: SigningKeys;

function start(): void {
  signingKeys = new SigningKeys(database, KeyPublished, claims);
  messaging = new Messaging({
    service: "reader",
    database,
    transport: broker,
    definitions: [KeyPublished],
    handlers: [signingKeys.handler],
    deadLetterTopic: "reader.dead-letters",
    runtime: systemRuntime,
    log: silentLogger,
  });
  messaging.start();
}

beforeEach(() => {
  database = openDatabase(":memory:");
  broker = new MemoryBroker([keys, deadLetterTopic("reader")], systemRuntime);
  start();
});
afterEach(async () => {
  await messaging.stop();
  database.close();
});

/** Publishes a key and waits until it has been handled. */
async function publish({ keyId, publicJwk }: SigningKey): Promise<void> {
  const { handled } = messaging.consumer.counts;
  const id = Bun.randomUUIDv7();
  const time = new Date().toISOString();
  const origin = { id, source: "issuer", time, correlationid: id, causationid: id };
  const event = message(KeyPublished, { keyId, publicKey: publicJwk }, origin);
  await broker.publish([encode(KeyPublished, event)]);
  await eventually(() => messaging.consumer.counts.handled === handled + 1);
}

const tokenOf = ({ privateJwk, keyId }: SigningKey) =>
  issueToken(privateJwk, { ...claims, customerId: "root", role: "admin", keyId, now: Date.now(), ttlS: 60 });

const verify = (token: string) => signingKeys.verifier.verify(token, Date.now());

test("a token is valid from the arrival of its key on, also after a restart", async () => {
  const key = await generateSigningKey();
  const token = await tokenOf(key);
  expect(await failureOf(verify(token))).toContain("not valid");
  await publish(key);
  expect(await verify(token)).toMatchObject({ role: "admin" });
  await messaging.stop();
  start();
  expect(await verify(token)).toMatchObject({ role: "admin" });
});

test("several keys are valid at a time: tokens of an earlier key remain valid", async () => {
  const [first, second] = [await generateSigningKey(), await generateSigningKey()];
  await publish(first);
  await publish(second);
  await publish(first);
  for (const key of [first, second]) {
    expect(await verify(await tokenOf(key))).toMatchObject({ customerId: "root" });
  }
});
