import { serviceNames } from "@distributed-messaging/services/registry";
import type { Notification, Order, Stock } from "./answers.ts";
import type { Customer } from "./customer.ts";
import type { OwnStore } from "./own-store.ts";

/** All that anybody can see of a store: what has to be the same before and after. */
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
