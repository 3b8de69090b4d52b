import { expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import fc from "fast-check";
import { Identifier } from "./common.ts";
import { orderIdOf, orderNameOf } from "./order-id.ts";

const identifier = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

test("the id of an order is an id, and stays the same for ever", () => {
  // Stored and in topics: another algorithm would place every repeated order a second time.
  expect(orderIdOf("CUSTOMER_001", "ORDER_001")).toBe("ORDER_001-UyNOHs2vgaWYjiAy");
  fc.assert(
    fc.property(identifier, identifier, (customerId, name) => {
      expect(Value.Check(Identifier, orderIdOf(customerId, name))).toBe(true);
    }),
  );
});

test("two customers, or two names, never have the same id", () => {
  fc.assert(
    fc.property(fc.tuple(identifier, identifier), fc.tuple(identifier, identifier), (one, other) => {
      fc.pre(one.join(" ") !== other.join(" "));
      expect(orderIdOf(...one)).not.toBe(orderIdOf(...other));
    }),
  );
  expect(orderIdOf("A", "B-C")).not.toBe(orderIdOf("A-B", "C"));
  const long = "x".repeat(63);
  expect(orderIdOf("ANN", `${long}1`)).not.toBe(orderIdOf("ANN", `${long}2`));
});

test("a name of up to 47 characters is found in the id, by its customer", () => {
  fc.assert(
    fc.property(identifier, identifier, (customerId, name) => {
      const id = orderIdOf(customerId, name);
      expect(orderNameOf(customerId, id)).toBe(name.length <= 47 ? name : id);
    }),
  );
  expect(orderNameOf("BOB", orderIdOf("ANN", "ORDER"))).toBe(orderIdOf("ANN", "ORDER"));
});

test("an order of the time when ids were names keeps its name", () => {
  fc.assert(
    fc.property(
      identifier,
      identifier,
      (customerId, id) => void expect(orderNameOf(customerId, id)).toBe(id),
    ),
  );
});
