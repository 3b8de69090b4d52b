import { describe, expect, test } from "bun:test";
import {
  MAX_LINES,
  MAX_QUANTITY,
  MAX_UNIT_PRICE,
  PlaceOrder,
  UnitPrice,
} from "@distributed-messaging/contracts";
import { Value } from "@sinclair/typebox/value";
import { contentOf, price } from "./pricing.ts";

const eur = (amount: number) => ({ amount, currency: "EUR" });
const prices = new Map([
  ["A", eur(1999)],
  ["B", eur(1)],
  ["D", { amount: 100, currency: "USD" }],
]);
const priceOf = (productId: string) => prices.get(productId);

describe("an order is priced", () => {
  test("in whole minor units", () => {
    const priced = price(
      [
        { productId: "A", quantity: 3 },
        { productId: "B", quantity: 7 },
      ],
      priceOf,
    );
    expect(priced).toMatchObject({ total: eur(6004) });
  });

  test("exactly, up to the largest there can be", () => {
    const lines = Array.from({ length: MAX_LINES }, (_, index) => ({
      productId: `P${index}`,
      quantity: MAX_QUANTITY,
    }));
    const priced = price(lines, () => eur(MAX_UNIT_PRICE));
    if ("errors" in priced) throw new Error("it is refused");
    expect(BigInt(priced.total.amount)).toBe(
      BigInt(MAX_LINES) * BigInt(MAX_QUANTITY) * BigInt(MAX_UNIT_PRICE),
    );
    expect(Number.isSafeInteger(priced.total.amount)).toBe(true);
    const { items, total } = priced;
    expect(PlaceOrder.check.Check({ orderId: "X", customerId: "C", items, total })).toBe(true);
    // One cent less for one piece is another total: nothing is rounded off.
    const cheaper = price(lines, (productId) =>
      eur(productId === "P0" ? MAX_UNIT_PRICE - 1 : MAX_UNIT_PRICE),
    );
    if ("errors" in cheaper) throw new Error("it is refused");
    expect(total.amount - cheaper.total.amount).toBe(MAX_QUANTITY);
    expect(Value.Check(UnitPrice, eur(MAX_UNIT_PRICE + 1))).toBe(false);
  });

  test("at nothing, when it costs nothing", () => {
    expect(price([{ productId: "A", quantity: 2 }], () => eur(0))).toMatchObject({ total: eur(0) });
  });
});

describe("an order is refused, with each wrong line named,", () => {
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
  ])("%s", (_, products, expected) => {
    const priced = price(
      products.map((productId) => ({ productId, quantity: 1 })),
      priceOf,
    );
    const errors = "errors" in priced ? priced.errors : [];
    expect(errors.map(({ path, message }) => `${path} ${message}`)).toEqual(expected);
  });
});

test("the same lines in another order are the same content, other lines are not", () => {
  const [a1, b2, b1] = [
    { productId: "A", quantity: 1 },
    { productId: "B", quantity: 2 },
    { productId: "B", quantity: 1 },
  ];
  expect(contentOf([a1, b2])).toBe(contentOf([b2, a1]));
  expect(contentOf([a1, b2])).not.toBe(contentOf([a1, b1]));
  expect(contentOf([a1])).not.toBe(contentOf([a1, b1]));
});
