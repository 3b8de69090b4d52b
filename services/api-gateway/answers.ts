import {
  Money,
  PricedLine,
  ProductId,
  Quantity,
  Shortage,
  UnitPrice,
} from "@distributed-messaging/contracts";
import { type Static, Type } from "@sinclair/typebox";

/* The gateway's answers as schemas, for the OpenAPI document. */

const Time = Type.String({ format: "date-time" });
const Id = Type.String();

/** For examples. */
const eur = (amount: number) => ({ amount, currency: "EUR" });

export const ProductAnswer = Type.Object(
  {
    productId: Id,
    name: Type.String(),
    price: UnitPrice,
    available: Type.Integer({ minimum: 0 }),
  },
  { examples: [{ productId: "PRODUCT_001", name: "Espresso cup", price: eur(1000), available: 8 }] },
);

const identity = {
  customerId: Id,
  role: Type.Union([Type.Literal("customer"), Type.Literal("admin")]),
  expiresAt: Time,
};

export const IdentityAnswer = Type.Object(identity);

export const SessionAnswer = Type.Object({ token: Type.String(), ...identity });

export const AcceptedAnswer = Type.Object({ orderId: Id, status: Type.Literal("accepted") });

const Status = Type.Union([
  Type.Literal("accepted"),
  Type.Literal("pending"),
  Type.Literal("backordered"),
  Type.Literal("confirmed"),
  Type.Literal("rejected"),
  Type.Literal("cancelled"),
]);

export const OrderAnswer = Type.Object(
  {
    orderId: Id,
    customerId: Id,
    status: Status,
    items: Type.Unsafe<readonly Static<typeof PricedLine>[]>(Type.Array(PricedLine)),
    total: Money,
    placedAt: Time,
    updatedAt: Time,
    shortages: Type.Optional(Type.Unsafe<readonly Static<typeof Shortage>[]>(Type.Array(Shortage))),
    reason: Type.Optional(Type.String()),
    history: Type.Array(Type.Object({ at: Time, type: Type.String(), service: Type.String() })),
  },
  {
    examples: [
      {
        orderId: "ORDER_001",
        customerId: "CUSTOMER_001",
        status: "confirmed",
        items: [{ productId: "PRODUCT_001", quantity: 2, unitPrice: eur(1000) }],
        total: eur(2000),
        placedAt: "2026-01-31T12:00:00.000Z",
        updatedAt: "2026-01-31T12:00:00.250Z",
        history: [
          { at: "2026-01-31T12:00:00.000Z", type: "store.order.place.v1", service: "api-gateway" },
          { at: "2026-01-31T12:00:00.080Z", type: "store.order.placed.v1", service: "order" },
          { at: "2026-01-31T12:00:00.250Z", type: "store.order.confirmed.v1", service: "order" },
        ],
      },
    ],
  },
);

export const CancelledAnswer = Type.Object({ orderId: Id, status: Status });

export const RestockAnswer = Type.Object({ restockId: Id, productId: ProductId, quantity: Quantity });

/** RFC 7517 §5, with keys as in RFC 8037 §2: their public members only. */
export const KeySetAnswer = Type.Object(
  {
    keys: Type.Array(
      Type.Object({
        kty: Type.Literal("OKP"),
        crv: Type.Literal("Ed25519"),
        x: Type.String(),
        kid: Type.String(),
        alg: Type.Optional(Type.String()),
        use: Type.Optional(Type.String()),
      }),
    ),
  },
  { contentMediaType: "application/jwk-set+json" },
);

export const SigningKeyAnswer = Type.Object({
  keyId: Id,
  state: Type.Union([Type.Literal("current"), Type.Literal("retired"), Type.Literal("withdrawn")]),
  createdAt: Time,
  verifiesUntil: Type.Optional(Time),
});
