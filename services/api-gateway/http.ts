import {
  CancelOrder,
  CustomerId,
  Identifier,
  Line,
  lines,
  OrderId,
  orderNameOf,
  PlaceOrder,
  ProductId,
  Quantity,
} from "@distributed-messaging/contracts";
import { closed, type Logger, type Messaging, type Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { causeOf, documented, IntegerParam } from "@distributed-messaging/service/http";
import { authenticate, requireAdmin, type TokenVerifier } from "@distributed-messaging/service/identity";
import { clientAddresses, peerOf, RateLimit } from "@distributed-messaging/service/rate-limit";
import type { ServiceApp } from "@distributed-messaging/service/run";
import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  AcceptedAnswer,
  CancelledAnswer,
  IdentityAnswer,
  KeySetAnswer,
  OrderAnswer,
  ProductAnswer,
  RestockAnswer,
  SessionAnswer,
  SigningKeyAnswer,
} from "./answers.ts";
import { Backlog } from "./backlog.ts";
import { consistencyToken, untilConsistent } from "./consistency.ts";
import { type ClientRequest, type Decision, decide, type OrderView, orderNotFound } from "./domain.ts";
import type { Sessions } from "./sessions.ts";
import type { GatewayStore } from "./store.ts";

interface GatewayRoutes {
  readonly store: GatewayStore;
  readonly sessions: Sessions;
  readonly verifier: TokenVerifier;
  readonly messaging: Messaging;
  readonly log: Logger;
  /** `replicated`: a request is answered once the broker has what it emits, too. @defaultValue `local` */
  readonly accept?: "local" | "replicated";
  /** Whether anybody may sign in as any customer: for demonstrations only. */
  readonly demoSignIn: boolean;
  /** The number of unsent messages at which requests are refused. */
  readonly outboxLimit: number;
  /** For each customer and minute; 0 for no limit. */
  readonly rateLimits: { readonly orders: number; readonly cancels: number; readonly signIns: number };
  /** The clock of these limits, in milliseconds, which is not set back; by default that of the process. */
  readonly monotonic?: () => number;
  /** The addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
}

const SignIn = Type.Object(
  {
    customerId: CustomerId,
    role: Type.Optional(Type.Union([Type.Literal("customer"), Type.Literal("admin")])),
  },
  closed,
);
const NewOrder = Type.Object(
  { orderId: Type.Optional(OrderId), items: lines(Line) },
  { ...closed, examples: [{ orderId: "ORDER_001", items: [{ productId: "PRODUCT_001", quantity: 2 }] }] },
);
// Elysia types a query parameter as text; IntegerParam has converted it to a number.
const Limit = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 100 }));
const Paging = Type.Object(
  {
    limit: Type.Optional(Limit),
    after: Type.Optional(Identifier),
  },
  closed,
);
const OrderParams = Type.Object({ orderId: OrderId });
/** How long a request waits for the broker. After that, the gateway's disk is enough. */
const REPLICATION_LIMIT_MS = 2_000;
/** As often as the services of the store ask. */
const JWKS_MAX_AGE_S = 300;

const ORDERS = { name: "orders", description: "Of the customer whose token it is" };
const PRODUCTS = { name: "products", description: "What is sold, and how much of it there is" };
const SESSIONS = { name: "sessions", description: "Who sends a request" };
const KEYS = { name: "signing keys", description: "What tokens are signed with" };

/** What the routes share. */
interface Accepting extends GatewayRoutes {
  readonly backlog: Backlog;
  readonly addressOf: (request: Request, peer: string) => string;
}

/** Everything but the sign-in of demonstrations, unless the settings allow that. */
export function gatewayRoutes(options: GatewayRoutes) {
  return options.demoSignIn ? withSignIn(options) : storeRoutes(options);
}

/** The HTTP interface, with the routes that only some settings allow. */
export type App = ServiceApp<ReturnType<typeof withSignIn>>;

function withSignIn(options: GatewayRoutes) {
  const { sessions, rateLimits, monotonic, trustedProxies } = options;
  const addressOf = clientAddresses(trustedProxies);
  const signIns = new RateLimit(rateLimits.signIns, monotonic);
  return storeRoutes(options).post(
    "/sessions",
    async ({ body: { customerId, role = "customer" }, request, server, set }) => {
      signIns.check({ address: addressOf(request, peerOf(request, server)) });
      set.status = 201;
      return sessions.signIn(customerId, role, Date.now());
    },
    {
      body: SignIn,
      detail: documented("Sign in as anybody (demo)", {
        operationId: "signIn",
        description: "For demonstrations: without a password, as any customer or as an admin.",
        tag: SESSIONS,
        answers: { 201: SessionAnswer },
        problems: [429],
      }),
    },
  );
}

function storeRoutes(options: GatewayRoutes) {
  const { messaging, outboxLimit, trustedProxies, store, sessions } = options;
  const backlog = new Backlog(outboxLimit, () => messaging.outbox.depth());
  const parts = { ...options, addressOf: clientAddresses(trustedProxies), backlog };
  const open = new Elysia()
    .get("/products", () => store.products(), {
      detail: documented("What the store sells", {
        operationId: "listProducts",
        tag: PRODUCTS,
        answers: { 200: Type.Array(ProductAnswer) },
      }),
    })
    .get(
      "/.well-known/jwks.json",
      ({ set }) => {
        set.headers["content-type"] = "application/jwk-set+json";
        set.headers["cache-control"] = `max-age=${JWKS_MAX_AGE_S}`;
        return JSON.stringify(sessions.jwks(Date.now()));
      },
      {
        detail: documented("The keys that verify the tokens of this store (RFC 7517)", {
          operationId: "getKeySet",
          tag: KEYS,
          answers: { 200: KeySetAnswer },
        }),
      },
    );
  return new Elysia().use(open).use(orderRoutes(parts)).use(adminRoutes(parts));
}

/** For signed-in customers, about their own orders. */
function orderRoutes(parts: Accepting) {
  const { store, verifier, addressOf, rateLimits, monotonic } = parts;
  const orders = new RateLimit(rateLimits.orders, monotonic);
  const cancels = new RateLimit(rateLimits.cancels, monotonic);
  return new Elysia()
    .derive(async ({ request, server }) => {
      const identity = await authenticate(request, verifier);
      const address = addressOf(request, peerOf(request, server));
      const sender = { customerId: identity.customerId, address };
      /** For the routes whose answer may be asked to be as new as another one. */
      const consistent = () =>
        untilConsistent({
          request,
          customerId: identity.customerId,
          orderOf: (orderId) => store.order(orderId),
        });
      return { identity, sender, consistent };
    })
    .get(
      "/sessions/current",
      ({ identity: { customerId, role, expiresAt } }) => ({
        customerId,
        role,
        expiresAt: new Date(expiresAt).toISOString(),
      }),
      {
        detail: documented("Whom your token identifies, and until when", {
          operationId: "getIdentity",
          tag: SESSIONS,
          answers: { 200: IdentityAnswer },
          access: "customer",
        }),
      },
    )
    .post(
      "/orders",
      async ({ body: { orderId, items }, request, set, identity: { customerId }, sender }) => {
        orders.check(sender);
        const key = idempotencyKey(request);
        const placing = { operation: "place-order", name: orderId, items, customerId, key } as const;
        const { target, placed } = await accept(parts, request, set, placing);
        set.headers.location = `/orders/${target}`;
        const id = placed?.orderId ?? store.orderNamed(customerId, target)?.orderId;
        if (id !== undefined) set.headers["consistency-token"] = consistencyToken("placed", id);
        return { orderId: target, status: "accepted" };
      },
      {
        body: NewOrder,
        detail: documented("Place an order", {
          operationId: "placeOrder",
          description:
            "The order is stored when the answer comes, and processed afterwards: ask for it, or read the notifications, to see what becomes of it.",
          tag: ORDERS,
          answers: { 202: AcceptedAnswer },
          problems: [409, 429],
          access: "customer",
          idempotent: true,
          consistency: "writes",
        }),
      },
    )
    .get(
      "/orders",
      async ({ query: { limit = 20, after }, identity: { customerId }, consistent }) => {
        await consistent();
        return store.page(customerId, limit, after).map(shown);
      },
      {
        query: Paging,
        detail: documented("Your orders, newest first", {
          operationId: "listOrders",
          description: "A page; the next one begins `after` the last order of this one.",
          tag: ORDERS,
          answers: { 200: Type.Array(OrderAnswer) },
          access: "customer",
          consistency: "reads",
        }),
      },
    )
    .get(
      "/orders/:orderId",
      async ({ params: { orderId }, identity: { customerId }, consistent }) => {
        await consistent();
        const order = store.orderNamed(customerId, orderId);
        if (order === undefined) throw orderNotFound(orderId);
        return { ...shown(order), orderId };
      },
      {
        params: OrderParams,
        detail: documented("One of your orders", {
          operationId: "getOrder",
          tag: ORDERS,
          answers: { 200: OrderAnswer },
          problems: [404],
          access: "customer",
          consistency: "reads",
        }),
      },
    )
    .post(
      "/orders/:orderId/cancel",
      async ({ params: { orderId }, request, set, identity: { customerId }, sender, consistent }) => {
        cancels.check(sender);
        await consistent();
        const key = idempotencyKey(request);
        const cancelling = { operation: "cancel-order", name: orderId, customerId, key } as const;
        const { status } = await accept(parts, request, set, cancelling);
        const id = store.orderNamed(customerId, orderId)?.orderId;
        if (id !== undefined) set.headers["consistency-token"] = consistencyToken("cancelled", id);
        return { orderId, status };
      },
      {
        params: OrderParams,
        // No field is defined, and an unknown one is refused.
        body: Type.Optional(Type.Object({}, closed)),
        detail: documented("Cancel one of your orders", {
          operationId: "cancelOrder",
          description: "Until it is cancelled or rejected. What was reserved for it is available again.",
          tag: ORDERS,
          answers: { 202: CancelledAnswer },
          problems: [404, 409, 429],
          access: "customer",
          idempotent: true,
          consistency: "both",
        }),
      },
    );
}

function adminRoutes(parts: Accepting) {
  const { sessions, messaging, log } = parts;
  return new Elysia()
    .derive(async ({ request }) => {
      const identity = await authenticate(request, parts.verifier);
      requireAdmin(identity);
      return { identity };
    })
    .post(
      "/products/:productId/restock",
      async ({ params: { productId }, body: { quantity }, request, set, identity: { customerId } }) => {
        const key = idempotencyKey(request);
        const restocking = { operation: "restock", productId, quantity, customerId, key } as const;
        const { target } = await accept(parts, request, set, restocking);
        return { restockId: target, productId, quantity };
      },
      {
        params: Type.Object({ productId: ProductId }),
        body: Type.Object({ quantity: Quantity }, closed),
        detail: documented("More of a product has come in (admin)", {
          operationId: "restock",
          tag: PRODUCTS,
          answers: { 202: RestockAnswer },
          problems: [404],
          access: "admin",
          idempotent: true,
        }),
      },
    )
    .get("/signing-keys", () => sessions.keys(), {
      detail: documented("The keys that sign and have signed tokens (admin)", {
        operationId: "listSigningKeys",
        tag: KEYS,
        answers: { 200: Type.Array(SigningKeyAnswer) },
        access: "admin",
      }),
    })
    .post(
      "/signing-keys/rotate",
      async ({ set, identity: { customerId: actor } }) => {
        const keyId = await sessions.rotate(messaging.unitOfWork);
        log.warn({ actor, keyId }, "an admin rotated the signing key");
        set.status = 201;
        return { keyId };
      },
      {
        detail: documented("Sign with a new key from now on (admin)", {
          operationId: "rotateSigningKey",
          description: "Tokens of the earlier keys stay valid until they expire.",
          tag: KEYS,
          answers: { 201: Type.Object({ keyId: Type.String() }) },
          problems: [409],
          access: "admin",
        }),
      },
    )
    .post(
      "/signing-keys/:keyId/withdraw",
      async ({ params: { keyId }, identity: { customerId: actor } }) => {
        await sessions.withdraw(keyId, messaging.unitOfWork);
        log.warn({ actor, keyId }, "an admin withdrew a signing key");
        return sessions.keys();
      },
      {
        params: Type.Object({ keyId: Identifier }),
        detail: documented("End the validity of every token of a key (admin)", {
          operationId: "withdrawSigningKey",
          tag: KEYS,
          answers: { 200: Type.Array(SigningKeyAnswer) },
          problems: [404],
          access: "admin",
        }),
      },
    );
}

/**
 * Accepts a request that changes something: on disk, with its message, when it resolves. One whose connection is closed
 * by then is not carried out: nobody would get the answer. Bun closes a connection on which a request arrives before the
 * previous one is answered.
 */
async function accept(
  { store, messaging, backlog, accept: mode }: Accepting,
  request: Request,
  set: { status?: number | string; headers: Record<string, string | number> },
  asked: ClientRequest,
): Promise<Decision> {
  const decision = await backlog.admit(asked.customerId, () =>
    messaging.unitOfWork.run(
      (transaction) =>
        request.signal.aborted
          ? undefined
          : carryOut(asked, store, newIdFor(asked, transaction.now), transaction),
      causeOf(request),
    ),
  );
  if (decision === undefined) {
    throw new ServiceError("malformed", "connection-closed", "The connection was closed before its turn.");
  }
  // Also one that was accepted before: the broker may not have had it.
  if (mode === "replicated") {
    const isReplicated = await messaging.whenAcknowledged(REPLICATION_LIMIT_MS);
    set.headers.durability = isReplicated ? "replicated" : "local";
  }
  set.status = 202;
  if (decision.replayed) set.headers["idempotent-replayed"] = "true";
  return decision;
}

/**
 * Loads, decides and saves. In one transaction, so that of two concurrent requests the second finds what the first
 * stored.
 *
 * @param newId a name for an order whose client chose none, or the id of a restock
 * @throws ServiceError as `decide` does
 */
export function carryOut(
  request: ClientRequest,
  store: GatewayStore,
  newId: string,
  transaction: Transaction,
): Decision {
  const { now } = transaction;
  const state = store.stateFor(request, newId);
  const decision = decide(request, state, { now, newId });
  const { placed, messages } = decision;
  if (placed !== undefined) store.acceptOrder(placed);
  for (const { definition, data } of messages) {
    const id = transaction.emit(definition, data);
    const type = ORDER_COMMANDS.find((command) => command === definition.type);
    // A request is no message, so the command has no other cause than itself.
    if (type !== undefined)
      store.addOwnEntry(definition.keyOf(data), { id, cause: id, at: now, service: "api-gateway", type });
  }
  if (state.earlier === undefined) store.remember(request, decision, transaction);
  return decision;
}

/**
 * The name of an order with a key is the same at each gateway, so that the same request is one order; also after the key
 * itself is forgotten, as long as the order is kept, and as its id is.
 */
function newIdFor(request: ClientRequest, now: number): string {
  const { operation, customerId, key } = request;
  if (operation !== "place-order" || key === undefined) return newName(now);
  // A line feed occurs in neither.
  return `key-${Bun.SHA256.hash(`${customerId}\n${key}`, "hex").slice(0, 32)}`;
}

/** 96 bits that nobody guesses, after the time, so that indexes grow at their end. */
function newName(now: number): string {
  const random = crypto.getRandomValues(Buffer.alloc(12)).toString("hex");
  return `${now.toString(16).padStart(12, "0")}-${random}`;
}

/** The commands that are part of an order's history. */
const ORDER_COMMANDS = [PlaceOrder.type, CancelOrder.type] as const;

/** draft-ietf-httpapi-idempotency-key-header: the client chooses the text; here 1 to 255 visible characters. */
function idempotencyKey(request: Request): string | undefined {
  const key = request.headers.get("idempotency-key") ?? undefined;
  if (key !== undefined && !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new ServiceError(
      "malformed",
      "malformed-key",
      "An Idempotency-Key has 1 to 255 visible characters.",
    );
  }
  return key;
}

function shown({ placedAt, updatedAt, history, ...order }: OrderView): Static<typeof OrderAnswer> {
  return {
    ...order,
    orderId: orderNameOf(order.customerId, order.orderId),
    placedAt: new Date(placedAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    history: history.map(({ at, type, service }) => ({ at: new Date(at).toISOString(), type, service })),
  };
}
