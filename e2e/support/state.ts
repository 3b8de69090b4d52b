import { expect } from "bun:test";
import { topicPartition } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import type { Notification, Order, Stock } from "./answers.ts";
import type { Customer } from "./customer.ts";
import type { OwnStore } from "./own-store.ts";

/** What the clients of a store can see of it. */
export interface State {
  readonly stock: readonly Stock[];
  readonly available: Readonly<Record<string, number>>;
  readonly orders: readonly (readonly Order[])[];
  readonly notifications: readonly (readonly Notification[])[];
  readonly deadLetters: Readonly<Record<string, number>>;
}

export async function stateOf(store: OwnStore, customers: readonly Customer[]): Promise<State> {
  const products = await store.products();
  const deadLetters: Record<string, number> = {};
  for (const name of serviceNames) deadLetters[name] = await store.metric(name, "dead_letters");
  return {
    stock: await Promise.all(products.map(({ productId }) => store.stock(productId))),
    available: Object.fromEntries(products.map(({ productId, available }) => [productId, available])),
    orders: await Promise.all(customers.map((customer) => customer.allOrders())),
    notifications: await Promise.all(customers.map((customer) => customer.notifications())),
    deadLetters,
  };
}

/**
 * Waits until no message is in transit: every outbox is empty, and every consumer has handled its topics to their
 * ends. Without a further request, the state of the store does not change after that.
 *
 * @param limitMs of `eventually`
 */
export async function untilIdle(store: OwnStore, limitMs?: number): Promise<void> {
  const { instances } = store.supervisor;
  await eventually(
    async () => {
      const before = emitted(store);
      for (const { name } of instances)
        expect({ name, unsent: unsent(store, name) }).toEqual({ name, unsent: 0 });
      for (const { name, group } of instances) {
        const topics = await store.records.readBy(group);
        expect({ name, topics }).not.toEqual({ name, topics: [] });
        const ends = await Promise.all(topics.map((topic) => store.records.ends(topic)));
        expect({ name, ...positions(store, name) }).toMatchObject(Object.assign({}, ...ends));
      }
      // Handling the last messages has emitted no others.
      return Bun.deepEquals(emitted(store), before);
    },
    "no message in transit",
    limitMs,
  );
}

function emitted(store: OwnStore): number[] {
  return store.supervisor.instances.map(({ name }) => store.emitted(name));
}

function unsent(store: OwnStore, name: string): number {
  return store.rows<{ count: number }>(name, "SELECT count(*) AS count FROM outbox")[0]?.count ?? 0;
}

/** The offsets of an instance, by `topic/partition`. */
function positions(store: OwnStore, name: string): Record<string, number> {
  const rows = store.rows<{ topic: string; partition: number; next_offset: number }>(
    name,
    "SELECT topic, partition, next_offset FROM consumer_offsets",
  );
  return Object.fromEntries(
    rows.map(({ topic, partition, next_offset }) => [topicPartition(topic, partition), next_offset]),
  );
}
