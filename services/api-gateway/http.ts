import { CustomerId, closed, Identifier, Line, lines, OrderId } from "@distributed-messaging/contracts";
import type { Messaging } from "@distributed-messaging/messaging";
import { authenticate } from "@distributed-messaging/service/auth";
import { ServiceError } from "@distributed-messaging/service/errors";
import { IntegerParam } from "@distributed-messaging/service/http";
import { write } from "@distributed-messaging/service/write";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Catalogue } from "./catalogue.ts";
import { type Accepted, type OrderRequest, placeOrder } from "./place-order.ts";
import type { Sessions } from "./sessions.ts";
import type { OrderViews, Step, StoredOrder } from "./store.ts";

export interface GatewayRoutes {
  readonly views: OrderViews;
  readonly catalogue: Catalogue;
  readonly sessions: Sessions;
  readonly messaging: Messaging;
  /** Whether anybody may sign in as anybody: for demonstrations only. */
  readonly demoSignIn: boolean;
  /** The most messages that may wait to be sent before orders are refused. */
  readonly outboxLimit: number;
}

const SignIn = Type.Object(
  {
    customerId: CustomerId,
    role: Type.Optional(Type.Union([Type.Literal("customer"), Type.Literal("admin")])),
  },
  closed,
);
const NewOrder = Type.Object({ orderId: Type.Optional(OrderId), items: lines(Line) }, closed);
// Elysia types a query by what is sent, a text; IntegerParam has made it a number by then.
const Limit = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 100 }));
const Paging = Type.Object(
  {
    limit: Type.Optional(Limit),
    after: Type.Optional(Identifier),
  },
  closed,
);
const bearer = { security: [{ bearer: [] }] };

export function gatewayRoutes(parts: GatewayRoutes) {
  const { catalogue, sessions, demoSignIn } = parts;
  const open = new Elysia().get("/products", () => catalogue.all(), {
    detail: { summary: "What the store sells" },
  });
  const app = new Elysia().use(open).use(orderRoutes(parts));
  if (!demoSignIn) return app;
  return app.post(
    "/sessions",
    async ({ body: { customerId, role = "customer" }, set }) => {
      set.status = 201;
      return sessions.signIn(customerId, role, Date.now());
    },
    { body: SignIn, detail: { summary: "Sign in as anybody (demo)" } },
  );
}

/** What only somebody who signed in may see, and only as far as it is theirs. */
function orderRoutes(parts: GatewayRoutes) {
  const { views, sessions } = parts;
  return new Elysia()
    .derive(async ({ request }) => ({ identity: await authenticate(request, sessions.keys) }))
    .post(
      "/orders",
      async ({ body, request, set, identity: { customerId } }) => {
        const order = { ...body, orderId: body.orderId, customerId, key: idempotencyKey(request) };
        const accepted = await acceptOrder(parts, request, order);
        set.status = 202;
        set.headers.location = `/orders/${accepted.orderId}`;
        if (accepted.replayed) set.headers["idempotent-replayed"] = "true";
        return { orderId: accepted.orderId, status: "accepted" };
      },
      { body: NewOrder, detail: { summary: "Place an order", ...bearer } },
    )
    .get(
      "/orders",
      ({ query: { limit = 20, after }, identity: { customerId } }) =>
        views.page(customerId, limit, after).map((order) => shown(order, views.history(order.orderId))),
      { query: Paging, detail: { summary: "Your orders, newest first", ...bearer } },
    )
    .get(
      "/orders/:orderId",
      ({ params: { orderId }, identity: { customerId } }) => {
        const order = views.find(orderId);
        if (order?.customerId !== customerId) {
          throw new ServiceError("not-found", "order-not-found", `You have no order ${orderId}.`);
        }
        return shown(order, views.history(orderId));
      },
      { params: Type.Object({ orderId: OrderId }), detail: { summary: "One of your orders", ...bearer } },
    );
}

/** How long a client is asked to wait when too much is waiting to be sent. */
const BACKLOG_RETRY_AFTER_S = 10;

async function acceptOrder(
  { views, catalogue, messaging, outboxLimit }: GatewayRoutes,
  request: Request,
  order: OrderRequest,
): Promise<Accepted> {
  if (messaging.outbox.depth() >= outboxLimit) {
    throw new ServiceError("unavailable", "backlog", "Too many orders are waiting to be passed on.", {
      retryAfterS: BACKLOG_RETRY_AFTER_S,
    });
  }
  return write(messaging.unitOfWork, request, (transaction) =>
    placeOrder(order, views, catalogue, () => Bun.randomUUIDv7(), transaction),
  );
}

/** draft-ietf-httpapi-idempotency-key-header: any text of the client's, here up to 255 visible characters. */
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

function shown({ placedAt, updatedAt, ...order }: StoredOrder, history: readonly Step[]) {
  return {
    ...order,
    placedAt: new Date(placedAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    history: history.map(({ at, type, service }) => ({ at: new Date(at).toISOString(), type, service })),
  };
}
