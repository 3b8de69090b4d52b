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

describe("what was stored before histories were compact", () => {
  /** Runs statements on a file of the version before, and opens it with this one. */
  function upgraded(...statements: readonly string[]): GatewayStore {
    const before = openDatabase(":memory:");
    migrate(before, "api-gateway", migrations.slice(0, 3));
    for (const statement of statements) before.sql.run(statement);
    migrate(before, "api-gateway", migrations);
    database.close();
    database = before;
    return new GatewayStore(before);
  }
  const id = (number: number) => `0198c0de-0000-7000-8000-00000000000${number}`;
  const lines = JSON.stringify([
    { productId: "CUP", quantity: 2, unitPrice: { amount: 250, currency: "EUR" } },
    { productId: "POT", quantity: 1, unitPrice: { amount: 900, currency: "USD" } },
  ]);
  const order = (seq: number, orderId: string, generation: number | null) =>
    `INSERT INTO orders VALUES (${seq}, '${orderId}', 'ANN', '${lines}', '{"amount":1400,"currency":"EUR"}', 1000, ${generation})`;
  const step = (orderId: string, values: string) =>
    `INSERT INTO order_steps (order_id, message_id, cause_id, at, type, service, shortages, revision, reason, generation)
     VALUES ('${orderId}', ${values})`;

  test("is answered as before", () => {
    const shortages = [{ productId: "CUP", missing: 1 }];
    store = upgraded(
      order(7, "A", null),
      order(9, "B", 1),
      step(
        "A",
        `'${id(1)}', '${id(1)}', 1000, 'store.order.place.v1', 'api-gateway', NULL, NULL, NULL, NULL`,
      ),
      step("A", `'${id(2)}', '${id(1)}', 1001, 'store.order.placed.v1', 'order', NULL, NULL, NULL, 1`),
      step("A", `'${id(3)}', '${id(2)}', 1002, 'store.stock.short.v1', 'inventory/2', NULL, 1, NULL, 1`),
      step(
        "A",
        `'Foreign', '${id(3)}', 1003, 'store.order.backordered.v1', 'order', '${JSON.stringify(shortages)}', 1, NULL, 1`,
      ),
      step(
        "B",
        `'${id(5)}', 'Foreign', 1004, 'store.order.cancelled.v1', 'order', NULL, NULL, 'customer_request', 1`,
      ),
    );
    const items = [
      { productId: "CUP", quantity: 2, unitPrice: eur(250) },
      { productId: "POT", quantity: 1, unitPrice: { amount: 900, currency: "USD" } },
    ];
    const details = { customerId: "ANN", items, total: eur(1400), placedAt: 1000 };
    const entry = (entryId: string, cause: string, at: number, type: string, service: string) => ({
      ...{ id: entryId, cause, at, type, service },
    });
    const a = {
      ...{ ...details, orderId: "A", status: "backordered", updatedAt: 1003, shortages },
      history: [
        entry(id(1), id(1), 1000, "store.order.place.v1", "api-gateway"),
        entry(id(2), id(1), 1001, "store.order.placed.v1", "order"),
        { ...entry(id(3), id(2), 1002, "store.stock.short.v1", "inventory/2"), revision: 1 },
        { ...entry("Foreign", id(3), 1003, "store.order.backordered.v1", "order"), shortages, revision: 1 },
      ],
    };
    const reason = "customer_request";
    const b = {
      ...{ ...details, orderId: "B", status: "cancelled", updatedAt: 1004, reason },
      history: [{ ...entry(id(5), "Foreign", 1004, "store.order.cancelled.v1", "order"), reason }],
    };
    expect<unknown>(store.page("ANN", 10, undefined)).toEqual([b, a]);
  });

  test("is applied once: a message that was applied before changes nothing", () => {
    store = upgraded(
      order(1, "A", 1),
      step("A", `'${id(1)}', '${id(1)}', 1000, 'store.order.confirmed.v1', 'order', NULL, NULL, NULL, 1`),
    );
    const before = store.order("A");
    store.applyEntry("A", {
      ...{ id: id(1), cause: id(2), at: 5, service: "order", type: "store.order.confirmed.v1" },
    });
    expect(store.order("A")).toEqual(before);
  });

  test("shows an order of which only the inventory had told once its customer is known", () => {
    store = upgraded(
      step("A", `'${id(1)}', '${id(2)}', 1000, 'store.stock.reserved.v1', 'inventory', NULL, NULL, NULL, 1`),
    );
    expect(store.order("A")).toBeUndefined();
    const confirmed = { id: id(3), cause: id(2), at: 1001, service: "order" };
    expect(store.applyEntryOfKnown("A", { ...confirmed, type: "store.order.confirmed.v1" })).toBe(false);
    expect(store.page("ANN", 10, undefined)).toEqual([]);
    store.applyOrder({ orderId: "A", customerId: "ANN", items: [], total: eur(0) }, 900);
    expect(store.order("A")).toMatchObject({ customerId: "ANN", history: [{ id: id(1) }] });
  });

  test("gives no number again: the last order before was deleted", () => {
    store = upgraded(order(5, "A", 1), "DELETE FROM orders");
    store.acceptOrder({ orderId: "B", customerId: "ANN", items: [], total: eur(0), placedAt: 1 });
    expect(database.sql.query("SELECT seq FROM orders").all()).toEqual([{ seq: 6 }]);
  });
});

test("an order that is there is not accepted again", () => {
  const order = { orderId: "A", customerId: "ANN", items: [], total: eur(0), placedAt: 1 };
  store.acceptOrder(order);
  expect(() => store.acceptOrder({ ...order, customerId: "BOB" })).toThrow("order A is there already");
  expect(store.order("A")).toMatchObject({ customerId: "ANN" });
});

describe("an order that others tell of", () => {
  const uuid = (number: number) => `0198c0de-0000-7000-8000-00000000000${number}`;
  const entry = (number: number) =>
    ({ id: uuid(number), cause: uuid(9), at: number, service: "order" }) as const;
  const confirmed = (number: number) => ({ ...entry(number), type: "store.order.confirmed.v1" }) as const;
  const order = (orderId: string, customerId = "ANN") => ({ orderId, customerId, items: [], total: eur(0) });
  const numbers = () =>
    database.sql
      .query<{ order_id: string; seq: number }, []>("SELECT order_id, seq FROM orders ORDER BY seq")
      .all()
      .map(({ order_id, seq }) => [order_id, seq]);
  const entryIds = () => store.order("A")?.history.map(({ id }) => id);

  test("is not known by what the order service tells before it tells of the order: nothing is stored", () => {
    expect(store.applyEntryOfKnown("A", confirmed(1))).toBe(false);
    expect(numbers()).toEqual([]);
    expect(() => store.addOwnEntry("A", confirmed(1))).toThrow("order A is unknown");
    store.applyOrder(order("A"), 1);
    const known = [1, 1, 2].map((number) => store.applyEntryOfKnown("A", confirmed(number)));
    expect(known).toEqual([true, true, true]);
    expect(entryIds()).toEqual([uuid(1), uuid(2)]);
  });

  test("has one number, whoever tells of it first and however often", () => {
    const reserved = { ...entry(1), service: "inventory", type: "store.stock.reserved.v1" } as const;
    store.applyEntry("A", reserved);
    store.applyEntry("A", reserved);
    expect(store.order("A")).toBeUndefined();
    store.acceptOrder({ ...order("B"), placedAt: 1 });
    store.applyEntry("A", reserved);
    store.acceptOrder({ ...order("A"), placedAt: 1 });
    store.applyEntry("A", reserved);
    expect(numbers()).toEqual([
      ["A", 1],
      ["B", 2],
    ]);
    expect(entryIds()).toEqual([uuid(1)]);
  });

  test("stays as the gateway has accepted it, and uses up no number when it is told of again", () => {
    store.acceptOrder({ ...order("A"), placedAt: 1 });
    store.applyOrder(order("A", "EVE"), 2);
    store.applyOrder(order("B"), 2);
    for (let time = 0; time < 5; time += 1) store.applyOrder(order("B", "EVE"), 3);
    store.acceptOrder({ ...order("C"), placedAt: 1 });
    expect(numbers()).toEqual([
      ["A", 1],
      ["B", 2],
      ["C", 3],
    ]);
    expect(store.page("EVE", 10, undefined)).toEqual([]);
    expect(store.page("ANN", 10, "C").map(({ orderId, placedAt }) => [orderId, placedAt])).toEqual([
      ["B", 2],
      ["A", 1],
    ]);
  });
});

describe("idempotency keys", () => {
  const request = (key: string | undefined, customerId = "ANN"): ClientRequest => ({
    ...{ operation: "cancel-order", customerId, key, name: "X" },
  });
  const earlier = (key: string | undefined, customerId?: string): AcceptedRequest | undefined =>
    store.stateFor(request(key, customerId), "NEW").earlier;
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
