import { closed } from "@distributed-messaging/contracts";
import { acceptSubprotocol, authenticate } from "@distributed-messaging/service/auth";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Push } from "./push.ts";
import type { NotificationStore } from "./store.ts";

/** The most that one answer holds; the next page begins after its last. */
const PAGE = 500;

const After = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 });

export function notificationRoutes(store: NotificationStore, push: Push) {
  return new Elysia()
    .derive(async ({ request }) => ({
      identity: await authenticate(request, (keyId) => store.key(keyId)),
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
