import { describe, expect, test } from "bun:test";
import {
  CancelOrder,
  MAX_LINES,
  MAX_QUANTITY,
  MAX_STOCK,
  MAX_UNIT_PRICE,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  orderIdOf,
  PlaceOrder,
  Restock,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
  UnitPrice,
} from "@distributed-messaging/contracts";
import { ServiceError } from "@distributed-messaging/service/errors";
import { Value } from "@sinclair/typebox/value";
import {
  type CatalogueEntry,
  type ClientRequest,
  type Decision,
  decide,
  type HistoryEntry,
  type PlacedOrder,
  type RequestState,
  type Status,
  viewOf,
} from "./domain.ts";

const order: PlacedOrder = {
  orderId: "ORDER_1",
  customerId: "CUSTOMER_1",
  items: [{ productId: "P", quantity: 2, unitPrice: { amount: 100, currency: "EUR" } }],
  total: { amount: 200, currency: "EUR" },
  placedAt: 1_000,
};

const SERVICES = { g: "api-gateway", o: "order", i: "inventory" } as const;
/** By how much a service's clock is wrong at a message, in milliseconds. */
type Skew = (service: string, index: number) => number;
const skews: Readonly<Record<string, Skew>> = {
  "clocks agree": () => 0,
  "the inventory's clock is an hour behind": (service) => (service === "inventory" ? -3_600_000 : 0),
  "the order service's clock is set back on the way": (service, index) =>
    service === "order" && index > 4 ? -10_000 : 0,
};

type What = HistoryEntry extends infer Each
  ? Each extends HistoryEntry
    ? Omit<Each, "id" | "cause" | "at" | "service">
    : never
  : never;
type Emitted = readonly [by: keyof typeof SERVICES, cause: number | string, what: What];

const short = (revision: number): What => ({ type: StockShort.type, revision });
const backordered = (revision: number): What => ({
  type: OrderBackordered.type,
  revision,
  shortages: [{ productId: "P", missing: 3 - revision }],
});

/** Histories as they happened: the service, the index of the entry that caused it or another cause, the message. */
const histories: Readonly<Record<string, readonly Emitted[]>> = {
  "waits with changing shortages, is confirmed, and is cancelled": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, short(1)],
    ["o", 2, backordered(1)],
    ["i", "restock", short(2)],
    ["o", 4, backordered(2)],
    ["i", "restock", { type: StockReserved.type }],
    ["o", 6, { type: OrderConfirmed.type }],
    ["g", "request", { type: CancelOrder.type }],
    ["o", 8, { type: OrderCancelled.type, reason: "customer_request" }],
    ["i", 9, { type: StockReleased.type }],
  ],
  "is cancelled while its stock is being reserved": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["g", "request", { type: CancelOrder.type }],
    ["o", 2, { type: OrderCancelled.type, reason: "customer_request" }],
    ["i", 1, { type: StockReserved.type }],
    ["i", 3, { type: StockReleased.type }],
  ],
  expires: [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, short(1)],
    ["o", 2, backordered(1)],
    ["o", "timer", { type: OrderCancelled.type, reason: "backorder_expired" }],
  ],
  "is rejected": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, { type: StockRejected.type }],
    ["o", 2, { type: OrderRejected.type, reason: "unknown product P" }],
  ],
};

function entriesOf(history: readonly Emitted[], skew: Skew): HistoryEntry[] {
  return history
    .map(([by, cause, what], index) => {
      const at = 1_000 + 10 * index + skew(SERVICES[by], index);
      // Like a UUIDv7: the time first, and no information after it.
      const id = `${String(at + 10_000_000).padStart(12, "0")}-${(index * 7919) % 100}-${index}`;
      return { id, cause: String(cause), at, service: SERVICES[by], ...what };
    })
    .map((entry, _, all) => ({ ...entry, cause: all[Number(entry.cause)]?.id ?? entry.cause }));
}

/** Every interleaving of topics that each keep their own order. */
function* merges<T>(topics: readonly (readonly T[])[]): Iterable<T[]> {
  const open = topics.filter(({ length }) => length > 0);
  if (open.length === 0) yield [];
  for (const topic of open) {
    const [first, ...rest] = topic;
    if (first === undefined) continue;
    for (const others of merges(topics.map((other) => (other === topic ? rest : other))))
      yield [first, ...others];
  }
}

/** So many orders of arrival are tried without the slow tests. */
const QUICK = 5_000;

const PROGRESS: readonly Status[] = ["accepted", "pending", "backordered", "confirmed", "cancelled"];
const progressOf = (status: Status) => PROGRESS.indexOf(status === "rejected" ? "confirmed" : status);

const historyOf = (entries: readonly HistoryEntry[]) => viewOf(order, entries).history;

describe.each(Object.entries(histories))("an order that %s", (_, history) => {
  describe.each(Object.entries(skews))("where %s", (_name, skew) => {
    const entries = entriesOf(history, skew);
    const topics = Object.values(SERVICES).map((service) =>
      entries.filter((entry) => entry.service === service),
    );
    const all = [...merges(topics)];

    test("has the same view in the end, whatever arrived first", () => {
      const expected = viewOf(order, entries);
      for (const arrived of all) expect(viewOf(order, arrived)).toEqual(expected);
    });

    // The longest history arrives in many thousands of orders.
    const isQuick = all.length < QUICK || process.env.SLOW_TESTS === "true";
    test.if(isQuick)(
      "never returns to an earlier status, with every entry that arrives, and those that arrive twice",
      () => {
        for (const arrived of all) {
          let progress = 0;
          for (let count = 0; count <= arrived.length; count += 1) {
            const known = arrived.slice(0, count);
            const { status } = viewOf(order, known);
            expect(progressOf(status)).toBeGreaterThanOrEqual(progress);
            progress = progressOf(status);
            expect(viewOf(order, [...known, ...known]).status).toBe(status);
          }
        }
      },
    );

    test("has one history, in which no entry precedes its cause", () => {
      const expected = historyOf(entries);
      for (const arrived of all) expect(historyOf(arrived)).toEqual(expected);
      for (const arrived of all) {
        const known = historyOf(arrived.slice(0, arrived.length / 2));
        for (const [index, { id }] of known.entries()) {
          expect(known.slice(0, index).some(({ cause }) => cause === id)).toBe(false);
        }
      }
    });
  });
});

test("where clocks agree, the history is the order in which it happened", () => {
  for (const history of Object.values(histories)) {
    const entries = entriesOf(history, () => 0);
    expect(historyOf(entries.toReversed())).toEqual(entries);
  }
});

test("a cycle of causes hides no entry", () => {
  const [first, second] = entriesOf(histories["is rejected"]?.slice(0, 2) ?? [], () => 0);
  if (first === undefined || second === undefined) throw new Error("no such history");
  const cycle = [{ ...first, cause: second.id }, second];
  expect(historyOf(cycle)).toHaveLength(2);
});

test("a view has what the order was placed with, and the latest shortages", () => {
  const entries = entriesOf(
    histories["waits with changing shortages, is confirmed, and is cancelled"] ?? [],
    () => 0,
  );
  const waiting = entries.slice(0, 6);
  expect(viewOf(order, waiting.toReversed())).toEqual({
    ...order,
    status: "backordered",
    shortages: [{ productId: "P", missing: 1 }],
    updatedAt: 1_050,
    history: waiting,
  });
  expect(viewOf(order, entries)).toEqual({
    ...order,
    status: "cancelled",
    reason: "customer_request",
    updatedAt: 1_100,
    history: entries,
  });
});

const eur = (amount: number) => ({ amount, currency: "EUR" });
const product = (productId: string, price: CatalogueEntry["price"], available = 5): CatalogueEntry => ({
  ...{ productId, name: productId, price, available },
});
const moment = { now: 2_000, newId: "NEW" };
const client = { customerId: "ANN", key: undefined };
type Placing = Extract<ClientRequest, { readonly operation: "place-order" }>;
const placing = (items: Placing["items"], name?: string): Placing => ({
  ...{ operation: "place-order", ...client, name, items },
});
const one = (productId: string) => ({ productId, quantity: 1 });

/** Given these products, when a request arrives, then this is decided. */
function decided(
  request: ClientRequest,
  products: readonly CatalogueEntry[],
  state: Partial<RequestState> = {},
): Decision {
  const byId = new Map(products.map((entry) => [entry.productId, entry]));
  return decide(request, { earlier: undefined, order: undefined, products: byId, ...state }, moment);
}

/** The code of a refusal, and the fields that it names. */
function refusalOf(act: () => Decision): string[] {
  try {
    act();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return [error.code, ...error.errors.map(({ path, message }) => `${path} ${message}`)];
  }
  return [];
}

describe("an order is priced", () => {
  test("in whole minor units, and placed under the client's id or a new one", () => {
    const items = [
      { productId: "A", quantity: 3 },
      { productId: "B", quantity: 7 },
    ];
    const products = [product("A", eur(1999)), product("B", eur(1))];
    const placed = {
      orderId: orderIdOf("ANN", "NEW"),
      customerId: "ANN",
      items: items.map((line) => ({ ...line, unitPrice: eur(line.productId === "A" ? 1999 : 1) })),
      total: eur(6004),
    };
    const decision = decided(placing(items), products);
    expect(decision).toMatchObject({
      target: "NEW",
      replayed: false,
      placed: { ...placed, placedAt: 2_000 },
    });
    expect(decision.messages).toEqual([{ definition: PlaceOrder, data: placed }]);
    expect(decided(placing(items, "X"), products)).toMatchObject({
      target: "X",
      placed: { orderId: orderIdOf("ANN", "X") },
    });
  });

  test("exactly, up to the largest possible order", () => {
    const items = Array.from({ length: MAX_LINES }, (_, index) => ({
      productId: `P${index}`,
      quantity: MAX_QUANTITY,
    }));
    const at = (price: (productId: string) => number) =>
      decided(
        placing(items),
        items.map(({ productId }) => product(productId, eur(price(productId)))),
      );
    const largest = at(() => MAX_UNIT_PRICE);
    const total = largest.placed?.total.amount ?? 0;
    expect(BigInt(total)).toBe(BigInt(MAX_LINES) * BigInt(MAX_QUANTITY) * BigInt(MAX_UNIT_PRICE));
    expect(Number.isSafeInteger(total)).toBe(true);
    expect(PlaceOrder.check.Check(largest.messages[0]?.data)).toBe(true);
    // A price that is lower by one cent gives another total: nothing is rounded.
    const cheaper = at((productId) => (productId === "P0" ? MAX_UNIT_PRICE - 1 : MAX_UNIT_PRICE));
    expect(total - (cheaper.placed?.total.amount ?? 0)).toBe(MAX_QUANTITY);
    expect(Value.Check(UnitPrice, eur(MAX_UNIT_PRICE + 1))).toBe(false);
  });

  test("at nothing, when it costs nothing", () => {
    expect(decided(placing([one("A")]), [product("A", eur(0))]).placed?.total).toEqual(eur(0));
  });
});

describe("an order is refused, with each wrong line named,", () => {
  const products = [
    product("A", eur(1999)),
    product("B", eur(1)),
    product("D", { amount: 100, currency: "USD" }),
  ];
  test.each([
    ["that names a product twice", ["A", "A"], ["/items/1/productId is in the order more than once"]],
    [
      "that names what is not sold",
      ["A", "X", "Y"],
      [
        "/items/1/productId is not a product of this store",
        "/items/2/productId is not a product of this store",
      ],
    ],
    [
      "in two currencies",
      ["A", "D"],
      ["/items/1/productId is sold in another currency than the lines before it"],
    ],
  ])("%s", (_, named, expected) => {
    expect(refusalOf(() => decided(placing(named.map(one)), products))).toEqual([
      "invalid-input",
      ...expected,
    ]);
  });
});

describe("a request that was accepted before", () => {
  const items = [
    { productId: "A", quantity: 1 },
    { productId: "B", quantity: 2 },
  ];
  const products = [product("A", eur(1)), product("B", eur(1))];
  const { messages: _, replayed: __, placed, ...earlier } = decided(placing(items, "X"), products);
  const view = placed && viewOf(placed, []);

  test("is replayed under its key, with the same lines in any order, and with the order's id or without one", () => {
    for (const orderId of ["X", undefined]) {
      const decision = decided(placing(items.toReversed(), orderId), [], { earlier });
      expect(decision).toEqual({ ...earlier, replayed: true, messages: [] });
    }
  });

  test("is refused under its key with other content, another order's id, or as another operation", () => {
    const others: ClientRequest[] = [
      placing([...items.slice(1), { productId: "A", quantity: 2 }]),
      placing(items.slice(1)),
      placing(items, "Y"),
      { operation: "cancel-order", ...client, name: "X" },
      { operation: "restock", ...client, productId: "A", quantity: 1 },
    ];
    for (const other of others) {
      expect(refusalOf(() => decided(other, products, { earlier }))).toEqual(["key-conflict"]);
    }
  });

  test("is replayed under the order's id, though the product has another price or is no longer sold", () => {
    expect(decided(placing(items.toReversed(), "X"), [], { order: view })).toMatchObject({
      ...{ target: "X", replayed: true, messages: [] },
    });
  });

  test("is refused under the order's name with other content", () => {
    const refusal = ["order-conflict", "/orderId is taken"];
    const other = placing(items.slice(1), "X");
    expect(refusalOf(() => decided(other, products, { order: view }))).toEqual(refusal);
  });
});

describe("a cancellation", () => {
  const cancelling: ClientRequest = { operation: "cancel-order", ...client, name: "ORDER_1" };
  const ofAnn = { ...order, customerId: "ANN" };

  test.each(Object.entries(histories))(
    "of an order that %s: forwarded once, until it is final",
    (_, history) => {
      const entries = entriesOf(history, () => 0);
      for (let count = 0; count <= entries.length; count += 1) {
        const view = viewOf(ofAnn, entries.slice(0, count));
        const act = () => decided(cancelling, [], { order: view });
        if (["rejected", "cancelled"].includes(view.status)) {
          expect(refusalOf(act)).toEqual(["order-final"]);
          continue;
        }
        const isForwarded = view.history.some(({ type }) => type === CancelOrder.type);
        const command = { definition: CancelOrder, data: { orderId: "ORDER_1", reason: "customer_request" } };
        expect(act()).toMatchObject({ status: view.status, replayed: isForwarded });
        expect(act().messages).toEqual(isForwarded ? [] : [command]);
      }
    },
  );

  test("of no order of the customer is refused", () => {
    expect(refusalOf(() => decided(cancelling, []))).toEqual(["order-not-found"]);
  });
});

test("a restock is forwarded up to the most that can be on hand", () => {
  const restock = (productId: string, quantity: number): ClientRequest => ({
    ...{ operation: "restock", ...client, productId, quantity },
  });
  const products = [product("A", eur(1), MAX_STOCK - 3)];
  const data = { restockId: "NEW", productId: "A", quantity: 3 };
  expect(decided(restock("A", 3), products)).toMatchObject({
    ...{ target: "NEW", replayed: false, messages: [{ definition: Restock, data }] },
  });
  expect(refusalOf(() => decided(restock("A", 4), products))).toEqual([
    "invalid-input",
    `/quantity would make it more than ${MAX_STOCK}`,
  ]);
  expect(refusalOf(() => decided(restock("X", 1), products))).toEqual(["product-not-found"]);
});
