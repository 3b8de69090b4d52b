import {
  type Cause,
  closed,
  type DeadLetterAction,
  type DeadLetterAdmin,
  type DeadLetterDetails,
  type DeadLetterFilter,
  DeadLetterRefusal,
  type DeadLetterSummary,
  deadLetterReasons,
  MAX_BULK,
  type ReplayResult,
} from "@distributed-messaging/messaging";
import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { durationToMs } from "../config.ts";
import { ServiceError } from "../errors.ts";
import { causeOf } from "../http/exchange.ts";
import { DurationText, IntegerParam } from "../http/input.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import { forAdmins } from "./for-admins.ts";

const described = forAdmins("dead letters");

const PAGE = 50;
const MAX_PAGE = 500;

// Elysia types paths and queries as sent, as text; IntegerParam converts them to numbers.
const Id = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 999_999_999_999_999 }));
const After = Type.Unsafe<number>(IntegerParam({ minimum: 0, maximum: 999_999_999_999_999 }));
const Limit = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: MAX_PAGE }));
const Condition = Type.String({ minLength: 1, maxLength: 1_000 });
const Reason = Type.Unsafe<(typeof deadLetterReasons)[number]>(
  Type.Union(deadLetterReasons.map((reason) => Type.Literal(reason))),
);

const conditions = {
  topic: Type.Optional(Condition),
  key: Type.Optional(Condition),
  reason: Type.Optional(Reason),
  error: Type.Optional(Condition),
  olderThan: Type.Optional(DurationText),
};
const Query = Type.Object(
  { ...conditions, after: Type.Optional(After), limit: Type.Optional(Limit) },
  closed,
);
const Filter = Type.Object(
  {
    ...conditions,
    after: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_BULK })),
  },
  closed,
);
const dryRun = Type.Optional(Type.Boolean());
const Bulk = Type.Object(
  {
    ids: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: MAX_BULK, uniqueItems: true }),
    ),
    filter: Type.Optional(Filter),
    dryRun,
  },
  closed,
);
// Without a body, it is a replay. `{}`, which Elysia accepts for any optional schema, is the same.
const One = Type.Optional(Type.Object({ dryRun }, closed));
const Discard = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 300 }) }, closed);
const AnyMessage = Type.Object({}, { additionalProperties: true });
const byId = { params: Type.Object({ id: Id }) };

/**
 * The administration of a service's dead letters: list, show, edit, replay, discard. Every request needs an admin's
 * token, and every change is recorded with the admin who made it.
 */
export function deadLetterRoutes(admin: DeadLetterAdmin, verifier: TokenVerifier) {
  return new Elysia({ prefix: "/dead-letters" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get("", ({ query }) => admin.summaries(filterOf(query, PAGE)).map(shownSummary), {
      query: Query,
      detail: described("Dead letters, oldest first", { 200: Type.Array(SummarySchema) }),
    })
    .get("/:id", ({ params: { id } }) => shownDetails(admin.show(id)), {
      ...byId,
      detail: described("A dead letter with all its details", { 200: DetailsSchema }, [404]),
    })
    .put(
      "/:id/message",
      async ({ params: { id }, body, actor }) => {
        await admin.edit(id, Buffer.from(JSON.stringify(body)), actor);
        return shownDetails(admin.show(id));
      },
      {
        ...byId,
        body: AnyMessage,
        detail: described("Replaces the message that a replay handles", { 200: DetailsSchema }, [404]),
      },
    )
    .post(
      "/:id/replay",
      ({ params: { id }, body, actor, request }) =>
        replayOne(admin, id, actor, body?.dryRun ?? false, causeOf(request)),
      {
        ...byId,
        body: One,
        detail: described("Handles the message again", { 200: ResultSchema }, [404, 409]),
      },
    )
    .post("/replay", ({ body, actor, request }) => replayMany(admin, body, actor, causeOf(request)), {
      body: Bulk,
      detail: described("Handles many again: those with the ids, or the oldest that match", {
        200: BulkSchema,
      }),
    })
    .delete(
      "/:id",
      async ({ params: { id }, body: { reason }, actor, set }) => {
        await admin.discard(id, reason, actor);
        set.status = 204;
      },
      {
        ...byId,
        body: Discard,
        detail: described("Discards it; the messages blocked by it are handled", { 204: null }, [404, 409]),
      },
    );
}

async function replayOne(
  admin: DeadLetterAdmin,
  id: number,
  actor: string,
  isDryRun: boolean,
  requestedBy: Cause,
) {
  const [result] = await admin.replay([id], actor, isDryRun, requestedBy);
  if (result === undefined) throw new TypeError("the replay of one dead letter has one result");
  const { refusal, detail } = result;
  if (refusal !== undefined) throw new DeadLetterRefusal(refusal, detail ?? refusal);
  return shownResult(result);
}

async function replayMany(
  admin: DeadLetterAdmin,
  body: Static<typeof Bulk>,
  actor: string,
  requestedBy: Cause,
) {
  const { ids, filter } = body;
  if ((ids === undefined) === (filter === undefined)) {
    throw new ServiceError("invalid", "invalid-input", "Give either ids or a filter.");
  }
  const chosen =
    filter === undefined ? { ids: ids ?? [], left: 0 } : admin.candidates(filterOf(filter, MAX_BULK));
  const results = await admin.replay(chosen.ids, actor, body.dryRun ?? false, requestedBy);
  return { results: results.map(shownResult), left: chosen.left };
}

function filterOf(
  { olderThan, limit, ...rest }: Static<typeof Filter>,
  defaultLimit: number,
): DeadLetterFilter {
  const olderThanMs = olderThan === undefined ? undefined : durationToMs(olderThan);
  return { ...rest, ...(olderThanMs === undefined ? {} : { olderThanMs }), limit: limit ?? defaultLimit };
}

export type ShownDeadLetter = ReturnType<typeof shownSummary>;
export type ShownDeadLetterDetails = ReturnType<typeof shownDetails>;
export type ShownReplayResult = ReturnType<typeof shownResult>;

function shownSummary({ parkedAt, ...letter }: DeadLetterSummary) {
  return { ...letter, parkedAt: timeOf(parkedAt) };
}

function shownDetails(letter: DeadLetterDetails) {
  const { value, edited, parkedAt, stack, actions, parkedOfKey, ...rest } = letter;
  return {
    ...rest,
    stack: stack ?? null,
    parkedAt: timeOf(parkedAt),
    raw: shownBytes(value),
    edited: shownBytes(edited),
    lineLength: parkedOfKey,
    actions: actions.map(({ at, ...action }: DeadLetterAction) => ({ ...action, at: timeOf(at) })),
  };
}

function shownResult({ id, outcome, detail }: ReplayResult) {
  return { id, outcome, ...(detail === undefined ? {} : { detail }) };
}

function shownBytes(bytes: Uint8Array | null) {
  if (bytes === null) return null;
  return { bytes: bytes.byteLength, text: textOf(bytes), base64: Buffer.from(bytes).toString("base64") };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function textOf(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** RFC 3339. */
const timeOf = (ms: number) => new Date(ms).toISOString();

// The same as schemas, for the OpenAPI document. As response schemas, Elysia would check and trim every answer.

const Text = Type.String();
const Integer = Type.Integer();
const Time = Type.String({ format: "date-time" });
const Bytes = Type.Object({
  bytes: Integer,
  text: Type.Union([Text, Type.Null()], { description: "null when the bytes are not UTF-8" }),
  base64: Type.String({ contentEncoding: "base64" }),
});
const common = {
  id: Integer,
  topic: Text,
  partition: Integer,
  offset: Integer,
  key: Type.Union([Text, Type.Null()]),
  reason: Reason,
  error: Text,
  attempts: Integer,
  replays: Integer,
  parkedAt: Time,
};

const SummarySchema = Type.Object({ ...common, edited: Type.Boolean(), bytes: Integer });

const DetailsSchema = Type.Object({
  ...common,
  headers: Type.Record(Text, Text),
  stack: Type.Union([Text, Type.Null()]),
  raw: Type.Union([Bytes, Type.Null()], { description: "The value as received" }),
  edited: Type.Union([Bytes, Type.Null()], { description: "The value that an admin replaced it with" }),
  decoded: Type.Union([
    Type.Object({ message: Type.Object({}, { additionalProperties: true, description: "A CloudEvent" }) }),
    Type.Object({ problem: Text }),
  ]),
  lineLength: Type.Integer({ description: "Dead letters of its topic and key, itself included" }),
  actions: Type.Array(Type.Object({ action: Text, actor: Text, detail: Text, at: Time })),
});

const ResultSchema = Type.Object({
  id: Integer,
  outcome: Type.Union(
    ["handled", "duplicate", "skipped", "failed", "refused", "would-replay"].map((outcome) =>
      Type.Literal(outcome),
    ),
  ),
  detail: Type.Optional(Text),
});

const BulkSchema = Type.Object({
  results: Type.Array(ResultSchema),
  left: Type.Integer({ description: "Dead letters that match and were not tried" }),
});
