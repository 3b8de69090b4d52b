import { expect, test } from "bun:test";
import {
  allMessages,
  OrderConfirmed,
  PlaceOrder,
  SigningKeyPublished,
  StockReserved,
  tokenClaims,
} from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { generateSigningKey, issueToken } from "@distributed-messaging/service/identity";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { badRecords, cloudEvent } from "../support/bad-messages.ts";
import { describeOwn, type OwnStore, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

/** The topics of the messages. */
const topics = [...new Set(allMessages.map(({ topic }) => topic.name))];

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
        expect(await countsOf(name)).toEqual({
          kept: (was?.kept ?? 0) + bad.length,
          parked: (was?.parked ?? 0) + bad.length,
          logged: bad.length,
        });
        expect((await store.request(name, "/readiness")).status).toBe(200);
      }
    },
    LIMIT_MS,
  );

  test(
    "on api-gateway.keys does not prevent the next key from being used",
    async () => {
      await store.records.write(badRecords("api-gateway.keys"));
      const { keyId, publicJwk, privateJwk } = await generateSigningKey();
      const event = cloudEvent({
        type: SigningKeyPublished.type,
        subject: keyId,
        data: { keyId, publicKey: publicJwk },
      });
      await store.records.write([
        { topic: "api-gateway.keys", key: Buffer.from(keyId), value: bytes(event) },
      ]);
      const identity = {
        ...tokenClaims,
        customerId: "CUSTOMER_001",
        role: "customer",
        keyId,
        now: Date.now(),
        ttlS: 600,
      } as const;
      const authorization = `Bearer ${await issueToken(privateJwk, identity)}`;
      await eventually(async () => {
        return (
          (await store.request("notification", "/notifications", { headers: { authorization } })).status ===
          200
        );
      }, "the new key to be used");
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
