import { describe, expect, test } from "bun:test";
import { orderIdOf, PlaceOrder } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { type Answer, read, request, Session } from "../support/answers.ts";
import { cloudEvent } from "../support/bad-messages.ts";
import { useStore } from "../support/own-store.ts";

const LIMIT_MS = 90_000;
const OTHERS = 999;
/** The stock of PRODUCT_006 in the demo catalogue. */
const SEEDED = 200;

const Letter = Type.Object({
  id: Type.Integer(),
  key: Type.Union([Type.String(), Type.Null()]),
  reason: Type.String(),
});
const Details = Type.Object({ lineLength: Type.Integer(), decoded: Type.Object({ problem: Type.String() }) });

const store = useStore();

/** A client with the role that may see dead letters. */
async function operator() {
  const body = JSON.stringify({ customerId: "OPERATOR", role: "admin" });
  const headers = { "content-type": "application/json" };
  const session = await request(`${store.url("api-gateway")}/sessions`, { method: "POST", body, headers });
  const authorization = `Bearer ${read(Session, session, 201).token}`;
  return (name: ServiceName, path: string, method = "GET", sent?: object): Promise<Answer> =>
    store.request(name, `/dead-letters${path}`, {
      method,
      headers: { authorization, ...headers },
      ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
    });
}

async function first<Schema extends TSchema>(
  schema: Schema,
  answer: Promise<Answer>,
): Promise<Static<Schema>> {
  const [one] = read(Type.Array(schema), await answer);
  if (one === undefined) throw new Error("no dead letter yet");
  return one;
}

describe("dead letters", () => {
  test(
    "every service shows its own to an admin, and to no other client",
    async () => {
      const customer = await store.signIn("CUSTOMER_001");
      const request = await operator();
      for (const name of serviceNames) {
        read(Type.Array(Letter), await request(name, ""));
        expect((await store.request(name, "/dead-letters")).status).toBe(401);
        expect((await store.request(name, "/dead-letters", { headers: customer.authorization })).status).toBe(
          403,
        );
      }
    },
    LIMIT_MS,
  );

  test(
    `a poison message for one order of ${OTHERS + 1}: the others are confirmed; its own is confirmed after an edit`,
    async () => {
      await store.seed();
      const admin = await store.signIn("ADMIN_001", "admin");
      await admin.restock("PRODUCT_006", OTHERS + 1 - SEEDED);
      const customer = await store.signIn("CUSTOMER_1000");
      const request = await operator();
      const stuck = store.id("STUCK");
      const key = orderIdOf(customer.id, stuck);
      const items = [{ productId: "PRODUCT_006", quantity: 1 }];
      const price = { amount: 650, currency: "EUR" };
      const data = {
        orderId: key,
        customerId: customer.id,
        items: items.map((item) => ({ ...item, unitPrice: price })),
        total: price,
      };
      const poison = cloudEvent({ type: PlaceOrder.type, subject: key, data: { ...data, items: [] } });
      await store.records.write([
        { topic: PlaceOrder.topic.name, key: Buffer.from(key), value: Buffer.from(JSON.stringify(poison)) },
      ]);
      await customer.place({ orderId: stuck, items });
      const others = await Promise.all(Array.from({ length: OTHERS }, () => customer.place({ items })));
      for (const { orderId } of others) await customer.until(orderId, "confirmed");
      const { id } = await eventually(
        () => first(Letter, request("order", `?key=${key}&reason=schema`)),
        "the poison to be parked",
      );
      const details = await eventually(async () => {
        const seen = read(Details, await request("order", `/${id}`));
        if (seen.lineLength !== 2) throw new Error(`${seen.lineLength} parked messages`);
        return seen;
      }, "its order to be blocked");
      expect(details.decoded.problem).toContain("/items");
      expect((await customer.order(stuck)).status).toBe("accepted");

      read(Type.Unknown(), await request("order", `/${id}/message`, "PUT", { ...poison, data }));
      expect((await request("order", `/${id}/replay`, "POST")).body).toEqual({ id, outcome: "handled" });
      const order = await customer.until(stuck, "confirmed");
      expect(order.history.filter(({ type }) => type.includes("confirmed"))).toHaveLength(1);
      await eventually(async () => {
        expect(await customer.notificationTypes(stuck)).toEqual(["order.received", "order.confirmed"]);
        return true;
      }, "its notifications");
      expect(await store.stock("PRODUCT_006")).toMatchObject({ available: 0, reserved: OTHERS + 1 });
      await eventually(async () => {
        expect((await request("order", `?key=${key}`)).body).toEqual([]);
        return true;
      }, "its key to be released");
    },
    LIMIT_MS,
  );
});
