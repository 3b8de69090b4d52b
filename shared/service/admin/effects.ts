import {
  closed,
  type DeadEffect,
  type DeadEffectDetails,
  type EffectAction,
  type EffectAdmin,
} from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { IntegerParam } from "../http/input.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import { forAdmins } from "./for-admins.ts";

const described = forAdmins({
  name: "effects",
  description: "Side effects that were tried in vain",
});

const PAGE = 50;
const MAX_PAGE = 500;

// Elysia types paths and queries as sent, as text; IntegerParam converts them to numbers.
const Id = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 999_999_999_999_999 }));
const Name = Type.String({ minLength: 1, maxLength: 200 });
const Query = Type.Object(
  {
    name: Type.Optional(Name),
    after: Type.Optional(Type.Unsafe<number>(IntegerParam({ minimum: 0, maximum: 999_999_999_999_999 }))),
    limit: Type.Optional(Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: MAX_PAGE }))),
  },
  closed,
);
const RetryAll = Type.Object({ name: Type.Optional(Name) }, closed);
const Discard = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 300 }) }, closed);
const byId = { params: Type.Object({ id: Id }) };

/**
 * The administration of dead effects: list, show, retry, discard. Every request needs an admin's token, and every
 * change is recorded with the admin who made it.
 */
export function effectRoutes(admin: EffectAdmin, verifier: TokenVerifier) {
  return new Elysia({ prefix: "/effects" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get(
      "/dead",
      ({ query: { limit, ...filter } }) => admin.list({ ...filter, limit: limit ?? PAGE }).map(shownEffect),
      { query: Query, detail: described("Dead effects, oldest first", { 200: Type.Array(EffectSchema) }) },
    )
    .get("/dead/:id", ({ params: { id } }) => shownDetails(admin.show(id)), {
      ...byId,
      detail: described("A dead effect with all its details", { 200: DetailsSchema }, [404]),
    })
    .post(
      "/dead/:id/retry",
      async ({ params: { id }, actor, set }) => {
        await admin.retry(id, actor);
        set.status = 204;
      },
      { ...byId, detail: described("Tries it again", { 204: null }, [404]) },
    )
    .post("/dead/retry", async ({ body, actor }) => ({ retried: await admin.retryAll(body.name, actor) }), {
      body: RetryAll,
      detail: described("Tries all of them again, or those of one name", {
        200: Type.Object({ retried: Type.Integer() }),
      }),
    })
    .delete(
      "/dead/:id",
      async ({ params: { id }, body: { reason }, actor, set }) => {
        await admin.discard(id, reason, actor);
        set.status = 204;
      },
      {
        ...byId,
        body: Discard,
        detail: described("Discards it: it is never performed", { 204: null }, [404]),
      },
    );
}

export type ShownEffect = ReturnType<typeof shownEffect>;
export type ShownEffectDetails = ReturnType<typeof shownDetails>;

function shownEffect({ enqueuedAt, ...effect }: DeadEffect) {
  return { ...effect, enqueuedAt: timeOf(enqueuedAt) };
}

function shownDetails({ enqueuedAt, actions, ...effect }: DeadEffectDetails) {
  return {
    ...effect,
    enqueuedAt: timeOf(enqueuedAt),
    actions: actions.map(({ at, ...action }: EffectAction) => ({ ...action, at: timeOf(at) })),
  };
}

/** RFC 3339. */
const timeOf = (ms: number) => new Date(ms).toISOString();

// The same as schemas, for the OpenAPI document.

const Time = Type.String({ format: "date-time" });
const effect = {
  id: Type.Integer(),
  key: Type.String(),
  name: Type.String(),
  error: Type.String(),
  attempts: Type.Integer(),
  retries: Type.Integer(),
  enqueuedAt: Time,
};
const EffectSchema = Type.Object(effect);
const DetailsSchema = Type.Object({
  ...effect,
  input: Type.Unknown(),
  actions: Type.Array(
    Type.Object({
      action: Type.Union([Type.Literal("retry"), Type.Literal("discard")]),
      actor: Type.String(),
      detail: Type.String(),
      at: Time,
    }),
  ),
});
