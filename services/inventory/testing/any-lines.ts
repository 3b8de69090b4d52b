import type { Line } from "@distributed-messaging/contracts";
import fc from "fast-check";

/** What an order may ask for: some of these products, and now and then one that is not sold. */
export function anyLines(products: readonly string[], quantity: fc.Arbitrary<number>): fc.Arbitrary<Line[]> {
  const wanted = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...products) },
    { weight: 1, arbitrary: fc.constant("UNSOLD") },
  );
  return fc
    .uniqueArray(wanted, { minLength: 1, maxLength: products.length })
    .chain((chosen) =>
      fc.tuple(...chosen.map((productId) => quantity.map((count) => ({ productId, quantity: count })))),
    );
}
