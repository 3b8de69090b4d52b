import { Database } from "bun:sqlite";
import { eventually } from "@distributed-messaging/messaging/testing";
import { replicableServices, type ServiceName } from "@distributed-messaging/services/registry";
import type { Notification } from "../support/answers.ts";
import { differences, untilEqual } from "../support/copies.ts";
import type { Customer } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import {
  differentNotifications,
  differentOrders,
  type Missing,
  missingOrders,
  type Seen,
  wrongNotifications,
  wrongOrders,
  wrongStock,
} from "./findings.ts";
import type { Load } from "./load.ts";

/** The backlog of minutes of faults has to be worked off. */
const LIMIT_MS = 180_000;

/** Checks the promises of a store whose processes are all ready, after the load has stopped. */
export async function verdict(store: OwnStore, load: Load): Promise<Missing> {
  // Looking at the broker costs much: it waits until that is worth while.
  await eventually(() => undecided(store) === 0, "the order service to decide on every order", LIMIT_MS);
  await untilIdle(store, LIMIT_MS);
  const customers = load.readers.map(({ customer }) => customer);
  const gateways = await seenAt(store, customers, "api-gateway", (customer) => customer.allOrders());
  const services = await seenAt(store, customers, "notification", (customer) => customer.notifications());
  const orders = gateways[0]?.all ?? [];
  const missing = missingOrders(load.accepted, orders);
  const products = await store.products();
  const stock = await Promise.all(products.map(({ productId }) => store.stock(productId)));
  const available = new Map(products.map((product) => [product.productId, product.available]));
  const violations = [
    ...missing.violations,
    ...gateways.flatMap((gateway) => wrongOrders(load.accepted, gateway)),
    ...differentOrders(gateways),
    ...wrongStock(stock, available, orders),
    ...services.flatMap((service) => wrongNotifications(service, orders)),
    ...differentNotifications(services),
    ...wrongNotifications(await heard(load), orders),
    ...(await databases(store)),
  ];
  return { violations, lost: missing.lost };
}

function undecided(store: OwnStore): number {
  const sql = "SELECT count(*) AS count FROM orders WHERE status NOT IN ('confirmed', 'backordered')";
  return store.rows<{ count: number }>("order", sql)[0]?.count ?? 0;
}

/** What each instance of a service shows to all customers. */
async function seenAt<What>(
  store: OwnStore,
  customers: readonly Customer[],
  name: ServiceName,
  ask: (customer: Customer) => Promise<readonly What[]>,
): Promise<Seen<What>[]> {
  const instances = store.supervisor.instances.filter(({ service }) => service === name);
  return Promise.all(
    instances.map(async ({ name: instance, url }) => {
      const at = { gateway: url, notification: url };
      const all = await Promise.all(customers.map((customer) => ask(customer.via(at))));
      return { instance, all: all.flat() };
    }),
  );
}

/** What the customers have read in the end, at one notification service after the other. */
async function heard(load: Load): Promise<Seen<Notification>> {
  for (const reader of load.readers) await load.readOn(reader);
  return { instance: "customers, reading on", all: load.readers.flatMap(({ told }) => told) };
}

async function databases(store: OwnStore): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, file } of store.supervisor.instances) {
    using database = new Database(file, { readonly: true });
    const row = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
    if (row?.integrity_check !== "ok") wrong.push(`${name}: integrity_check: ${row?.integrity_check}`);
    const letters = database
      .query<{ reason: string; error: string }, []>("SELECT reason, error FROM dead_letters")
      .all();
    for (const { reason, error } of letters) wrong.push(`${name}: dead letter, ${reason}: ${error}`);
  }
  for (const [service, instances] of Map.groupBy(store.supervisor.instances, (one) => one.service)) {
    // A follower may still apply what its leader did last; the others have read everything.
    if (replicableServices.includes(service)) await untilEqual(instances).catch(() => {});
    wrong.push(...differences(instances));
  }
  return wrong;
}
