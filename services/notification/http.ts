import { closed } from "@distributed-messaging/messaging";
import { DESCRIBED_AS, documented } from "@distributed-messaging/service/http";
import { acceptSubprotocol, authenticate, type TokenVerifier } from "@distributed-messaging/service/identity";
import { clientAddresses, peerOf, RateLimit } from "@distributed-messaging/service/rate-limit";
import type { ServiceApp } from "@distributed-messaging/service/run";
import { FormatRegistry, type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { NotificationConfig } from "./config.ts";
import { AFTER_PATTERN, parseAfter } from "./cursor.ts";
import type { Push } from "./push.ts";
import type { NotificationStore } from "./store.ts";

/** The size of a page; the next one begins after its last notification. */
const PAGE = 500;

const AFTER = "the cursor of a notification, or its number";
FormatRegistry.Set(AFTER, (text) => parseAfter(text) !== undefined);
/** The last notification that the reader has. A number of fifteen digits is always exact. */
const After = Type.String({
  format: AFTER,
  [DESCRIBED_AS]: {
    type: "string",
    pattern: AFTER_PATTERN,
    description: `${AFTER}: a cursor counts at any instance, a number at the one that gave it`,
  },
});
/** Before the first one. */
const NONE = "0";

const NotificationAnswer = Type.Object(
  {
    seq: Type.Integer({ minimum: 1 }),
    notificationId: Type.String(),
    orderId: Type.String(),
    type: Type.String(),
    message: Type.String(),
    at: Type.String({ format: "date-time" }),
    cursor: Type.String(),
  },
  {
    examples: [
      {
        seq: 2,
        notificationId: "9b2f6c1e-0d35-4c0e-8f5e-5a8f3f2f7d10",
        orderId: "ORDER_001",
        type: "order.confirmed",
        message: "Order ORDER_001 is confirmed.",
        at: "2026-01-31T12:00:00.300Z",
        cursor: "cWyI1ZjA5YTNjMWU3ZCIsMixbWzMsNDFdXSxbXV0",
      },
    ],
  },
);

const NOTIFICATIONS = { name: "notifications", description: "What has become of a customer's orders" };

interface NotificationRoutes {
  readonly store: NotificationStore;
  readonly push: Push;
  readonly verifier: TokenVerifier;
  readonly config: Pick<Static<typeof NotificationConfig>, "RATE_LIMIT_WEBSOCKETS" | "TRUSTED_PROXIES">;
}

/** The HTTP interface. */
export type App = ServiceApp<ReturnType<typeof notificationRoutes>>;

export function notificationRoutes({ store, push, verifier, config }: NotificationRoutes) {
  const webSockets = new RateLimit(config.RATE_LIMIT_WEBSOCKETS);
  const addressOf = clientAddresses(config.TRUSTED_PROXIES);
  return new Elysia()
    .derive(async ({ request, server }) => {
      const identity = await authenticate(request, verifier);
      // Before the handshake is answered.
      if (request.headers.get("upgrade") === "websocket") {
        const address = addressOf(request, peerOf(request, server));
        webSockets.check({ customerId: identity.customerId, address });
      }
      return { identity };
    })
    .get(
      "/notifications",
      ({ query: { after = NONE }, identity }) => store.after(identity.customerId, after, PAGE),
      {
        query: Type.Object({ after: Type.Optional(After) }, closed),
        detail: documented("Your notifications, oldest first", {
          operationId: "listNotifications",
          tag: NOTIFICATIONS,
          webSocket:
            "It sends each notification as one text, in the form of an element of this list: first those after `after`, " +
            "then new ones as they come. It is closed when its token expires.",
          answers: { 200: Type.Array(NotificationAnswer) },
          access: "customer",
        }),
      },
    )
    .ws("/notifications", {
      // A browser cannot send a header with a WebSocket: the token is a parameter, or a subprotocol.
      query: Type.Object({ after: Type.Optional(After), token: Type.Optional(Type.String()) }, closed),
      upgrade: ({ request }) => acceptSubprotocol(request),
      open({ raw, data: { query, identity } }) {
        const { customerId, expiresAt } = identity;
        push.open(raw, customerId, query.after ?? NONE, expiresAt - Date.now(), () =>
          identity.stillHolds(Date.now()),
        );
      },
      drain: ({ raw }) => push.drained(raw),
      close: ({ raw }) => push.close(raw),
    });
}
