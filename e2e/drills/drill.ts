import { describe, expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import type { Customer } from "../support/customer.ts";
import { describeOwn, type OwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import type { Operator } from "./runbook.ts";

export const DRILL_LIMIT_MS = 180_000;

/** A drill is slow: each runs a store, and several commands. */
export const describeDrill: typeof describe = process.env.SLOW_TESTS === "true" ? describeOwn : describe.skip;

/** The stock of PRODUCT_006 in the demo catalogue. */
const SEEDED = 200;

export const order = (orderId: string) => ({
  orderId,
  items: [{ productId: "PRODUCT_006", quantity: 1 }],
});

/** Places orders, and waits until they are confirmed. */
export async function placed(customer: Customer, ...orderIds: string[]): Promise<void> {
  for (const orderId of orderIds) await customer.place(order(orderId));
  for (const orderId of orderIds) await customer.until(orderId, "confirmed");
}

/**
 * The store is well again: a new order is confirmed, every accepted one is, each was notified once, the stock adds up,
 * every service is ready, and the doctor finds no fault.
 *
 * @param customer of all orders
 * @param notNotified those whose notification was lost by the fault, as the page says
 */
export async function expectHealthy(
  store: OwnStore,
  operator: Operator,
  customer: Customer,
  accepted: readonly string[],
  notNotified: readonly string[] = [],
): Promise<void> {
  await placed(customer, "after");
  for (const orderId of accepted) await customer.until(orderId, "confirmed");
  await untilIdle(store);
  for (const name of serviceNames) {
    await eventually(
      async () => (await store.request(name, "/readiness")).status === 200,
      `${name} to be ready`,
    );
  }
  // What the services check themselves, such as the topics, they check from time to time.
  await eventually(async () => {
    expect(await operator.follow("First look", 1)).not.toContain("FAILED");
    return true;
  }, "the doctor to find nothing");
  const all = [...accepted, "after"].sort();
  const orders = await customer.allOrders();
  expect(orders.map(({ orderId, status }) => `${orderId} ${status}`).sort()).toEqual(
    all.map((orderId) => `${orderId} confirmed`),
  );
  const notified = (await customer.notifications()).filter(({ type }) => type === "order.confirmed");
  expect(notified.map(({ orderId }) => orderId).sort()).toEqual(
    all.filter((orderId) => !notNotified.includes(orderId)),
  );
  expect((await store.stock("PRODUCT_006")).available).toBe(SEEDED - all.length);
}
