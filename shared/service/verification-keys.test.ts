import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closed, define, encode, message } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { defineService } from "./composition.ts";
import { type CommonConfig, commonSettings } from "./config.ts";
import { issueToken, VerificationKeys } from "./identity.ts";
import { generateSigningKey, type PublicJwk } from "./signing-key.ts";
import { ServiceFixture } from "./testing/service-fixture.ts";

/* Whoever can write to the broker sends the events here. */

const KeyPublished = define({
  type: "test.key.published.v1",
  kind: "event",
  source: "issuer",
  topic: { name: "keys", key: "keyId", partitions: 1, config: { "cleanup.policy": "compact" } },
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

const service = defineService({
  name: "reader",
  description: "Verifies tokens",
  config: Type.Object(commonSettings),
  migrations: [],
  messages: [KeyPublished],
  brokerRequired: true,
  compose(database, config, log) {
    const keys = new VerificationKeys(database, config, claims, log);
    return { parts: {}, handlers: [keys.handler(KeyPublished)], verifier: keys.verifier };
  },
});

const attacker = await generateSigningKey();
let fixture: ServiceFixture<CommonConfig, object>;

beforeEach(async () => {
  fixture = await new ServiceFixture(service).start();
});
afterEach(() => fixture[Symbol.asyncDispose]());

const verify = (token: string) => fixture.running.verifier.verify(token, Date.now());
const forge = (keyId: string) =>
  issueToken(attacker.privateJwk, {
    ...claims,
    customerId: "root",
    role: "admin",
    keyId,
    now: Date.now(),
    ttlS: 60,
  });
const announce = (keyId: string, publicKey: PublicJwk) => fixture.handle(KeyPublished, { keyId, publicKey });

/** The id of the key that signs the tokens of the fixture. */
async function realKeyId(): Promise<string> {
  const [header = ""] = (await fixture.token(claims, "ann")).split(".");
  return JSON.parse(Buffer.from(header, "base64url").toString()).kid;
}

describe("a key that comes over the broker", () => {
  test("is not used, under its own id or under that of the real key", async () => {
    const token = await fixture.token(claims, "ann");
    await announce(attacker.keyId, attacker.publicJwk);
    await expect(verify(await forge(attacker.keyId))).rejects.toMatchObject({ code: "token-invalid" });
    await announce(await realKeyId(), attacker.publicJwk);
    await expect(verify(await forge(await realKeyId()))).rejects.toMatchObject({ code: "token-invalid" });
    expect(await verify(token)).toMatchObject({ customerId: "ann" });
  });

  test("is parked when its id is not its thumbprint", async () => {
    await announce(attacker.keyId, attacker.publicJwk);
    expect(fixture.running.messaging.deadLetters.count()).toBe(0);
    await announce(await realKeyId(), attacker.publicJwk);
    const [letter] = fixture.running.messaging.deadLetterAdmin.list({ limit: 10 });
    expect(letter).toMatchObject({ reason: "domain", error: "the key id is not the thumbprint of the key" });
  });

  test("locks nobody out: garbage under the id of the real key, a tombstone, a thousand keys", async () => {
    const keyId = await realKeyId();
    const garbage = [new TextEncoder().encode("garbage"), null].map((value) => ({
      topic: KeyPublished.topic.name,
      key: keyId,
      value,
      headers: {},
    }));
    const others = Array.from({ length: 1_000 }, (_, index) => {
      const id = Bun.randomUUIDv7();
      const origin = {
        id,
        source: "issuer",
        time: new Date().toISOString(),
        correlationid: id,
        causationid: id,
      };
      return encode(
        KeyPublished,
        message(KeyPublished, { keyId: `k${index}`, publicKey: attacker.publicJwk }, origin),
      );
    });
    await fixture.broker.publish([...garbage, ...others]);
    const { counts } = fixture.running.messaging.consumer;
    await eventually(() => counts.handled + counts.parked + counts.skipped === 1_002);
    await fixture.restart();
    expect(await verify(await fixture.token(claims, "ann"))).toMatchObject({ customerId: "ann" });
  });
});
