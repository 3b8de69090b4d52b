import {
  CustomerId,
  Identifier,
  Line,
  lines,
  OrderId,
  ProductId,
  Quantity,
} from "@distributed-messaging/contracts";
import { closed, type Messaging, type Work } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { IntegerParam } from "@distributed-messaging/service/http/app";
import { write } from "@distributed-messaging/service/http/write";
import { authenticate, requireAdmin } from "@distributed-messaging/service/identity/auth";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { cancelOrder, orderNotFound } from "./cancel-order.ts";
import type { Catalogue } from "./catalogue.ts";
import { placeOrder } from "./place-order.ts";
import { restock } from "./restock.ts";
import type { Sessions } from "./sessions.ts";
import type { OrderViews, OrderWithHistory } from "./store.ts";

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
const OrderParams = Type.Object({ orderId: OrderId });
const bearer = { security: [{ bearer: [] }] };

export function gatewayRoutes(parts: GatewayRoutes) {
  const { catalogue, sessions, demoSignIn } = parts;
  const open = new Elysia().get("/products", () => catalogue.all(), {
    detail: { summary: "What the store sells" },
  });
  const app = new Elysia().use(open).use(orderRoutes(parts)).use(adminRoutes(parts));
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

/** What only somebody who signed in may see and do, and only as far as it is theirs. */
function orderRoutes(parts: GatewayRoutes) {
  const { views, catalogue, sessions } = parts;
  return new Elysia()
    .derive(async ({ request }) => ({ identity: await authenticate(request, sessions.keys) }))
    .post(
      "/orders",
      async ({ body, request, set, identity: { customerId } }) => {
        const order = { ...body, orderId: body.orderId, customerId, key: idempotencyKey(request) };
        const { orderId, replayed } = await accept(parts, request, (transaction) =>
          placeOrder(order, views, catalogue, newId, transaction),
        );
        answerAccepted(set, replayed);
        set.headers.location = `/orders/${orderId}`;
        return { orderId, status: "accepted" };
      },
      { body: NewOrder, detail: { summary: "Place an order", ...bearer } },
    )
    .get(
      "/orders",
      ({ query: { limit = 20, after }, identity: { customerId } }) =>
        views.page(customerId, limit, after).map(shown),
      { query: Paging, detail: { summary: "Your orders, newest first", ...bearer } },
    )
    .get(
      "/orders/:orderId",
      ({ params: { orderId }, identity: { customerId } }) => {
        const order = views.placed(orderId);
        if (order?.customerId !== customerId) throw orderNotFound(orderId);
        return shown(views.withHistory(order));
      },
      { params: OrderParams, detail: { summary: "One of your orders", ...bearer } },
    )
    .post(
      "/orders/:orderId/cancel",
      async ({ params: { orderId }, request, set, identity: { customerId } }) => {
        const wish = { orderId, customerId, key: idempotencyKey(request) };
        const { replayed, ...answer } = await accept(parts, request, (transaction) =>
          cancelOrder(wish, views, transaction),
        );
        answerAccepted(set, replayed);
        return answer;
      },
      {
        params: OrderParams,
        // Nothing has to be said; but what is said, and not understood, is not passed over.
        body: Type.Optional(Type.Object({}, closed)),
        detail: { summary: "Cancel one of your orders", ...bearer },
      },
    );
}

function adminRoutes(parts: GatewayRoutes) {
  const { views, catalogue, sessions } = parts;
  return new Elysia()
    .derive(async ({ request }) => {
      const identity = await authenticate(request, sessions.keys);
      requireAdmin(identity);
      return { identity };
    })
    .post(
      "/products/:productId/restock",
      async ({ params, body, request, set, identity: { customerId } }) => {
        const delivery = { ...params, ...body, customerId, key: idempotencyKey(request) };
        const { replayed, ...answer } = await accept(parts, request, (transaction) =>
          restock(delivery, views.keys, catalogue, newId, transaction),
        );
        answerAccepted(set, replayed);
        return answer;
      },
      {
        params: Type.Object({ productId: ProductId }),
        body: Type.Object({ quantity: Quantity }, closed),
        detail: { summary: "More of a product has come in (admin)", ...bearer },
      },
    );
}

const newId = () => Bun.randomUUIDv7();

/** How long a client is asked to wait when too much is waiting to be sent. */
const BACKLOG_RETRY_AFTER_S = 10;

/** Takes on something that is to be passed on to another service: on disk when it resolves. */
async function accept<T>(
  { messaging, outboxLimit }: GatewayRoutes,
  request: Request,
  work: Work<T>,
): Promise<T> {
  if (messaging.outbox.depth() >= outboxLimit) {
    throw new ServiceError("unavailable", "backlog", "Too many orders are waiting to be passed on.", {
      retryAfterS: BACKLOG_RETRY_AFTER_S,
    });
  }
  return write(messaging.unitOfWork, request, work);
}

function answerAccepted(
  set: { status?: number | string; headers: Record<string, string | number> },
  replayed: boolean,
): void {
  set.status = 202;
  if (replayed) set.headers["idempotent-replayed"] = "true";
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

function shown({ placedAt, updatedAt, history, ...order }: OrderWithHistory) {
  return {
    ...order,
    placedAt: new Date(placedAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    history: history.map((step) => ({ ...step, at: new Date(step.at).toISOString() })),
  };
}
