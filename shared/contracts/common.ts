import { closed } from "@distributed-messaging/messaging/contract";
import { type Static, type TSchema, Type } from "@sinclair/typebox";

/** Identifiers that people choose: safe in a URL, in a log line and as a partition key. */
export const Identifier = Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" });
export const OrderId = Identifier;
export const ProductId = Identifier;
export const CustomerId = Identifier;

/** The largest quantity of one line of an order, and of one restock. */
export const MAX_QUANTITY = 10_000;
export const MAX_LINES = 100;
/**
 * The highest unit price in minor units. 100 lines of 10,000 at this price are 10^15, which a JavaScript
 * number (2^53 ≈ 9 × 10^15) still holds exactly.
 */
export const MAX_UNIT_PRICE = 1_000_000_000;
/** The largest stock on hand: far above any store, far below the largest exact integer. */
export const MAX_STOCK = 1_000_000_000_000;

export const Quantity = Type.Integer({ minimum: 1, maximum: MAX_QUANTITY });

/** Money is an integer number of minor units (cents) of one ISO 4217 currency: never a fraction. */
export const Money = Type.Object(
  {
    amount: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    currency: Type.String({ pattern: "^[A-Z]{3}$" }),
  },
  closed,
);
export type Money = Static<typeof Money>;

export const UnitPrice = Type.Object(
  {
    amount: Type.Integer({ minimum: 0, maximum: MAX_UNIT_PRICE }),
    currency: Type.String({ pattern: "^[A-Z]{3}$" }),
  },
  closed,
);

/** A product and how many of it. */
export const Line = Type.Object({ productId: ProductId, quantity: Quantity }, closed);
export type Line = Static<typeof Line>;

/** A line at the price at which it was ordered. */
export const PricedLine = Type.Object(
  { productId: ProductId, quantity: Quantity, unitPrice: UnitPrice },
  closed,
);
export type PricedLine = Static<typeof PricedLine>;

/** An order is short of a product by `missing` units. */
export const Shortage = Type.Object(
  { productId: ProductId, missing: Type.Integer({ minimum: 1, maximum: MAX_QUANTITY }) },
  closed,
);
export type Shortage = Static<typeof Shortage>;

/** Counts the publications of a waiting order's shortages: a higher one replaces a lower one, whichever arrives first. */
export const Revision = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export const Reason = Type.String({ minLength: 1, maxLength: 200 });

/** 1 to 100 lines. That each product occurs once is a rule that JSON Schema cannot express. */
export function lines<Item extends TSchema>(item: Item) {
  return Type.Array(item, { minItems: 1, maxItems: MAX_LINES });
}
