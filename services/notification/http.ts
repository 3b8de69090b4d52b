import { closed } from "@distributed-messaging/messaging";
import { IntegerParam } from "@distributed-messaging/service/http/app";
import {
  acceptSubprotocol,
  authenticate,
  type KeyLookup,
} from "@distributed-messaging/service/identity/auth";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Push } from "./push.ts";
import type { NotificationStore } from "./store.ts";

/** The most that one answer holds; the next page begins after its last. */
const PAGE = 500;

/**
 * The number of the last notification that the reader has; fifteen digits are as many as are always exact.
 * Elysia types a query by what is sent, a text; IntegerParam has made it a number by then.
 */
const After = Type.Unsafe<number>(IntegerParam({ minimum: 0, maximum: 999_999_999_999_999 }));

export function notificationRoutes(store: NotificationStore, push: Push, keys: KeyLookup) {
  return new Elysia()
    .derive(async ({ request }) => ({
      identity: await authenticate(request, keys),
    }))
    .get(
      "/notifications",
      ({ query: { after = 0 }, identity }) => store.after(identity.customerId, after, PAGE),
      {
        query: Type.Object({ after: Type.Optional(After) }, closed),
        detail: { summary: "Your notifications, oldest first", security: [{ bearer: [] }] },
      },
    )
    .ws("/notifications", {
      // A browser cannot send a header with a WebSocket: the token comes here, or as a subprotocol.
      query: Type.Object({ after: Type.Optional(After), token: Type.Optional(Type.String()) }, closed),
      upgrade: ({ request }) => acceptSubprotocol(request),
      open({ raw, data: { query, identity } }) {
        push.open(raw, identity.customerId, query.after ?? 0, identity.expiresAt - Date.now());
      },
      drain: ({ raw }) => push.drained(raw),
      close: ({ raw }) => push.close(raw),
    });
}
