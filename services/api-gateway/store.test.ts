import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ProductWithdrawn, StockChanged } from "@distributed-messaging/contracts";
import { type DataOf, migrate, openDatabase, type ServiceDatabase } from "@distributed-messaging/messaging";
import type { AcceptedRequest, CatalogueEntry, ClientRequest } from "./domain.ts";
import { migrations } from "./migrations/index.ts";
import { GatewayStore } from "./store.ts";

const RETENTION_MS = 1_000;

let database: ServiceDatabase;
let store: GatewayStore;
beforeEach(() => {
  database = openDatabase(":memory:");
  migrate(database, "api-gateway", migrations);
  store = new GatewayStore(database, RETENTION_MS);
});
afterEach(() => database.close());

type ProductEvent = DataOf<typeof StockChanged> | DataOf<typeof ProductWithdrawn>;

const eur = (amount: number) => ({ amount, currency: "EUR" });

/** Events of a product by version: sold, dearer, withdrawn, sold again. */
function events(productId: string): readonly ProductEvent[] {
  const cup = { productId, name: "Cup" };
  return [
    { ...cup, price: eur(1000), available: 5, version: 1 },
    { ...cup, price: eur(1200), available: 4, version: 2 },
    { productId, version: 3 },
    { ...cup, price: eur(900), available: 7, version: 7 },
  ];
}

function isSold(event: ProductEvent): event is DataOf<typeof StockChanged> {
  return "price" in event;
}

function* permutations<T>(things: readonly T[]): Iterable<T[]> {
  if (things.length === 0) yield [];
  for (const [index, thing] of things.entries())
    for (const others of permutations(things.toSpliced(index, 1))) yield [thing, ...others];
}

/** The catalogue entry of a product whose latest event is this one. */
function entryAfter(latest: ProductEvent | undefined): CatalogueEntry | undefined {
  if (latest === undefined || !isSold(latest)) return undefined;
  const { version: _, ...entry } = latest;
  return entry;
}

test("the catalogue shows the latest version of a product, in whichever order versions arrive, and if they arrive twice", () => {
  const orders = [...permutations([0, 1, 2, 3])];
  for (const [number, order] of orders.entries()) {
    const productId = `CUP${number}`;
    const all = events(productId);
    const inOrder = order.flatMap((index) => all[index] ?? []);
    const messages = inOrder.flatMap((message, index) => [message, ...inOrder.slice(0, index + 1)]);
    let latest: ProductEvent | undefined;
    for (const message of messages) {
      if (isSold(message)) store.applyProduct(message);
      else store.applyWithdrawal(message);
      if (message.version >= (latest?.version ?? 0)) latest = message;
      expect({ messages, product: store.product(productId) }).toEqual({
        messages,
        product: entryAfter(latest),
      });
      const listed = store.products().filter((product) => product.productId === productId);
      expect(listed).toEqual([entryAfter(latest) ?? []].flat());
    }
  }
  expect(store.products()).toHaveLength(orders.length);
});

describe("idempotency keys", () => {
  const request = (key: string | undefined, customerId = "ANN"): ClientRequest => ({
    ...{ operation: "cancel-order", customerId, key, name: "X" },
  });
  const earlier = (key: string | undefined, customerId?: string): AcceptedRequest | undefined =>
    store.stateFor(request(key, customerId)).earlier;
  const accepted: AcceptedRequest = {
    operation: "cancel-order",
    content: "X",
    target: "X",
    status: "pending",
  };
  const remember = (key: string | undefined, now: number) => store.remember(request(key), accepted, { now });
  const count = () =>
    database.sql.query<{ n: number }, []>("SELECT count(*) AS n FROM idempotency_keys").get()?.n ?? 0;

  test("belong to one customer", () => {
    expect(earlier("k")).toBeUndefined();
    remember("k", 0);
    expect(earlier("k")).toEqual(accepted);
    expect(earlier("k", "BOB")).toBeUndefined();
    expect(earlier("other")).toBeUndefined();
  });

  test("a request without a key is not stored", () => {
    remember(undefined, 0);
    expect(earlier(undefined)).toBeUndefined();
    expect(count()).toBe(0);
  });

  test("are valid for the whole retention; then new keys delete them, so the table stays bounded", () => {
    for (let index = 0; index < 100; index += 1) remember(`old ${index}`, index);
    remember("just in time", RETENTION_MS);
    expect(earlier("old 0")).toBeDefined();
    let most = count();
    for (let index = 0; index < 500; index += 1) {
      remember(`new ${index}`, 10 * RETENTION_MS + 10 * index);
      most = Math.max(most, count());
    }
    expect(earlier("old 0")).toBeUndefined();
    expect(earlier("new 499")).toBeDefined();
    // The number of keys of the busiest retention period.
    expect(most).toBeLessThanOrEqual(102);
    expect(count()).toBeLessThanOrEqual(102);
  });
});
