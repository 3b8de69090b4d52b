import {
  closed,
  type OutboxAction,
  type OutboxAdmin,
  type ParkedDetails,
  type ParkedSummary,
} from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { IntegerParam } from "../http/input.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import { forAdmins } from "./for-admins.ts";

const described = forAdmins({
  name: "outbox",
  description: "Outgoing records that the broker refuses",
});

const PAGE = 50;
const MAX_PAGE = 500;

// Elysia types paths and queries as sent, as text; IntegerParam converts them to numbers.
const Id = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 999_999_999_999_999 }));
const Topic = Type.String({ minLength: 1, maxLength: 249 });
const Query = Type.Object(
  {
    topic: Type.Optional(Topic),
    after: Type.Optional(Type.Unsafe<number>(IntegerParam({ minimum: 0, maximum: 999_999_999_999_999 }))),
    limit: Type.Optional(Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: MAX_PAGE }))),
  },
  closed,
);
const RetryAll = Type.Object({ topic: Type.Optional(Topic) }, closed);
const Drop = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 300 }) }, closed);
const byId = { params: Type.Object({ id: Id }) };

/**
 * The administration of the outgoing records that the broker refuses: list, show, retry, drop. Every request needs an
 * admin's token, and every change is recorded with the admin who made it.
 */
export function outboxRoutes(admin: OutboxAdmin, verifier: TokenVerifier) {
  return new Elysia({ prefix: "/outbox" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get(
      "/parked",
      ({ query: { limit, ...filter } }) =>
        admin.list({ ...filter, limit: limit ?? PAGE }).map(shownParkedSummary),
      {
        query: Query,
        detail: described("Outgoing records that the broker refuses, oldest first", {
          200: Type.Array(ParkedSchema),
        }),
      },
    )
    .get("/parked/:id", ({ params: { id } }) => shownParkedDetails(admin.show(id)), {
      ...byId,
      detail: described("A parked outgoing record with all its details", { 200: DetailsSchema }, [404]),
    })
    .post(
      "/parked/:id/retry",
      async ({ params: { id }, actor, set }) => {
        await admin.retry(id, actor);
        set.status = 204;
      },
      {
        ...byId,
        detail: described(
          "Sends it again, and the later ones of its topic and key",
          { 204: null },
          [404, 409],
        ),
      },
    )
    .post(
      "/parked/retry",
      async ({ body, actor }) => ({ retried: await admin.retryAll(body.topic, actor) }),
      {
        body: RetryAll,
        detail: described("Sends all of them again, or those of one topic", {
          200: Type.Object({ retried: Type.Integer() }),
        }),
      },
    )
    .delete(
      "/parked/:id",
      async ({ params: { id }, body: { reason }, actor, set }) => {
        await admin.drop(id, reason, actor);
        set.status = 204;
      },
      {
        ...byId,
        body: Drop,
        detail: described("Deletes it; the later ones of its key are sent", { 204: null }, [404, 409]),
      },
    );
}

export type ShownParked = ReturnType<typeof shownParkedSummary>;
export type ShownParkedDetails = ReturnType<typeof shownParkedDetails>;

function shownParkedSummary({ createdAt, parkedAt, ...record }: ParkedSummary) {
  return { ...record, createdAt: timeOf(createdAt), parkedAt: timeOf(parkedAt) };
}

function shownParkedDetails({ createdAt, parkedAt, value, actions, ...record }: ParkedDetails) {
  return {
    ...record,
    createdAt: timeOf(createdAt),
    parkedAt: timeOf(parkedAt),
    value: value === null ? null : { base64: Buffer.from(value).toString("base64") },
    actions: actions.map(({ at, ...action }: OutboxAction) => ({ ...action, at: timeOf(at) })),
  };
}

/** RFC 3339. */
const timeOf = (ms: number) => new Date(ms).toISOString();

// The same as schemas, for the OpenAPI document.

const Text = Type.String();
const Time = Type.String({ format: "date-time" });
const record = {
  id: Type.Integer(),
  topic: Text,
  key: Type.Union([Text, Type.Null()]),
  reason: Text,
  error: Text,
  createdAt: Time,
  parkedAt: Time,
  bytes: Type.Integer(),
};
const ParkedSchema = Type.Object(record);
const DetailsSchema = Type.Object({
  ...record,
  headers: Type.Record(Text, Text),
  value: Type.Union([Type.Object({ base64: Type.String({ contentEncoding: "base64" }) }), Type.Null()]),
  actions: Type.Array(Type.Object({ action: Text, actor: Text, detail: Text, at: Time })),
});
