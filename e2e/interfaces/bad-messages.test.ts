import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  allMessages,
  OrderConfirmed,
  PlaceOrder,
  SigningKeyPublished,
  StockReserved,
  tokenClaims,
} from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { issueToken } from "@distributed-messaging/service/identity";
import { operatorToken } from "@distributed-messaging/service/operator";
import { generateSigningKey } from "@distributed-messaging/service/signing-key";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { read } from "../support/answers.ts";
import { badRecords, cloudEvent } from "../support/bad-messages.ts";
import { describeOwn, type OwnStore, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

/** The topics of the messages. */
const topics = [...new Set(allMessages.map(({ topic }) => topic.name))];

const Jwks = Type.Object({ keys: Type.Array(Type.Object({ kid: Type.String() })) });

interface Parked {
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: string;
  readonly reason: string;
}

function parkedBy(store: OwnStore, name: ServiceName, topic: string): Parked[] {
  return store.rows<Parked>(
    name,
    `SELECT topic, partition, key, value, headers, reason FROM dead_letters
     WHERE topic = ? ORDER BY partition, offset`,
    topic,
  );
}

describeOwn("a message that no service can handle", () => {
  const store = useOwnStore();

  /** Places orders that use every partition, and waits for their notifications. */
  async function expectOrdersToComplete(): Promise<void> {
    const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
    const items = [{ productId: "PRODUCT_006", quantity: 1 }];
    const placed = await Promise.all(Array.from({ length: 12 }, () => customer.place({ items })));
    for (const { orderId } of placed) await customer.until(orderId, "confirmed");
    await eventually(async () => {
      return (await customer.notifications()).length === 2 * placed.length;
    }, "every notification");
  }

  test.each(topics)(
    "on %s is parked unchanged, counted and logged by every consumer, and the next message is handled",
    async (topic) => {
      await store.seed();
      const services: ServiceName[] = [];
      for (const name of serviceNames) {
        if ((await store.records.readBy(name)).includes(topic)) services.push(name);
      }
      expect(services).not.toEqual([]);
      const countsOf = async (name: ServiceName) => ({
        kept: await store.metric(name, "dead_letters"),
        parked: await store.metric(name, "messages_parked_total"),
        logged: store.log(name).filter((line) => line.includes("a dead letter") && line.includes(topic))
          .length,
      });
      const before = new Map(
        await Promise.all(services.map(async (name) => [name, await countsOf(name)] as const)),
      );

      const bad = badRecords(topic);
      await store.records.write(bad);
      await expectOrdersToComplete();
      await untilIdle(store);

      for (const name of services) {
        expect(parkedBy(store, name, topic)).toEqual(
          bad.map(({ partition, key, value, headers, reason }) => ({
            topic,
            partition,
            key: String(key),
            value: value === null ? null : new Uint8Array(value),
            headers: JSON.stringify(headers),
            reason,
          })),
        );
        const was = before.get(name);
        // Lines of the log arrive after the answer to a request.
        await eventually(async () => {
          expect(await countsOf(name)).toEqual({
            kept: (was?.kept ?? 0) + bad.length,
            parked: (was?.parked ?? 0) + bad.length,
            logged: bad.length,
          });
          return true;
        }, `${name} to report what it parked`);
        expect((await store.request(name, "/readiness")).status).toBe(200);
      }
    },
    LIMIT_MS,
  );

  test(
    "on api-gateway.keys makes nobody an admin and locks nobody out, also after restarts",
    async () => {
      const topic = SigningKeyPublished.topic.name;
      const { keys } = read(Jwks, await store.request("api-gateway", "/.well-known/jwks.json"));
      const realId = keys[0]?.kid ?? "";
      const attacker = await generateSigningKey();
      const forgedEvent = (keyId: string) => {
        const data = { keyId, publicKey: attacker.publicJwk };
        return bytes(cloudEvent({ type: SigningKeyPublished.type, subject: keyId, data }));
      };
      await store.records.write([
        ...badRecords(topic),
        { topic, key: Buffer.from(attacker.keyId), value: forgedEvent(attacker.keyId) },
        { topic, key: Buffer.from(realId), value: forgedEvent(realId) },
        { topic, key: Buffer.from(realId), value: Buffer.from("garbage") },
      ]);
      const statusOf = async (name: ServiceName, token: string) =>
        (await store.request(name, "/dead-letters", { headers: { authorization: `Bearer ${token}` } }))
          .status;
      const expectOnlyRealAdmins = async () => {
        await untilIdle(store);
        const { session } = await store.signIn("ADMIN", "admin");
        const operator = await operatorToken(join(store.dataDir, "operator.jwk"));
        for (const name of serviceNames) {
          expect([name, await statusOf(name, session.token)]).toEqual([name, 200]);
          expect([name, await statusOf(name, operator ?? "")]).toEqual([name, 200]);
          for (const keyId of [attacker.keyId, realId]) {
            const identity = { ...tokenClaims, customerId: "MALLORY", role: "admin", keyId } as const;
            const forged = await issueToken(attacker.privateJwk, { ...identity, now: Date.now(), ttlS: 600 });
            expect([name, await statusOf(name, forged)]).toEqual([name, 401]);
          }
        }
      };
      await expectOnlyRealAdmins();
      for (const name of ["api-gateway", "order"] as const) await store.process(name).stop();
      await store.startAll();
      await expectOnlyRealAdmins();
    },
    LIMIT_MS,
  );

  test(
    "because it contradicts the state is parked too, and changes nothing",
    async () => {
      await store.seed();
      const price = { amount: 1000, currency: "EUR" };
      const items = [{ productId: "PRODUCT_001", quantity: 1, unitPrice: price }];
      const ids = { orderId: "ORDER_contradiction", customerId: "CUSTOMER_001" };
      const lines = [{ productId: "PRODUCT_001", quantity: 1 }];
      const messages = [
        ["order", PlaceOrder, { ...ids, items, total: { ...price, amount: 1 } }],
        ["order", StockReserved, { orderId: ids.orderId, lines }],
        ["api-gateway", OrderConfirmed, ids],
      ] as const;
      for (const [, { type, topic }, data] of messages) {
        const value = bytes(cloudEvent({ type, subject: ids.orderId, data }));
        await store.records.write([{ topic: topic.name, key: Buffer.from(ids.orderId), value }]);
      }
      await untilIdle(store);
      for (const [name, { topic }] of messages) {
        const [letter] = parkedBy(store, name, topic.name).filter(({ key }) => key === ids.orderId);
        expect(letter?.reason).toBe("domain");
      }
      expect(await store.stock("PRODUCT_001")).toMatchObject({ reserved: 0 });
      await expectOrdersToComplete();
    },
    LIMIT_MS,
  );
});

function bytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
