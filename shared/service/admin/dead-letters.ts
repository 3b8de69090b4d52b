import {
  closed,
  type DeadLetterAdmin,
  type DeadLetterFilter,
  DeadLetterRefusal,
  deadLetterReasons,
  MAX_BULK,
} from "@distributed-messaging/messaging";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { durationToMs } from "../duration.ts";
import { ServiceError } from "../errors.ts";
import { DurationText, IntegerParam } from "../http/params.ts";
import { storing } from "../http/write.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import * as views from "./dead-letter-views.ts";

/** Letters on one page. */
const MAX_PAGE = 500;
const PAGE = 50;

// Elysia types paths and queries by what is sent, a text; IntegerParam has made it a number by then.
const Id = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: 999_999_999_999_999 }));
const After = Type.Unsafe<number>(IntegerParam({ minimum: 0, maximum: 999_999_999_999_999 }));
const Limit = Type.Unsafe<number>(IntegerParam({ minimum: 1, maximum: MAX_PAGE }));
const Text = Type.String({ minLength: 1, maxLength: 1_000 });

const conditions = {
  topic: Type.Optional(Text),
  key: Type.Optional(Text),
  reason: Type.Optional(
    Type.Unsafe<(typeof deadLetterReasons)[number]>(
      Type.Union(deadLetterReasons.map((reason) => Type.Literal(reason))),
    ),
  ),
  error: Type.Optional(Text),
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
// Optional, so that no body means a replay; `{}`, which Elysia lets pass any optional schema, means the same.
const One = Type.Optional(Type.Object({ dryRun }, closed));
const Discard = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 300 }) }, closed);
const AnyMessage = Type.Object({}, { additionalProperties: true });
const byId = { params: Type.Object({ id: Id }) };

/**
 * What an admin does with a service's dead letters: list, look, mend, replay, discard. Everything that changes
 * something is written down with who did it. All of it asks for an admin's token.
 */
export function deadLetterRoutes(desk: DeadLetterAdmin, verifier: TokenVerifier) {
  return new Elysia({ prefix: "/dead-letters" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get("", ({ query }) => desk.summaries(filterOf(query, PAGE)).map(views.shownSummary), {
      query: Query,
      detail: described("Dead letters, oldest first", 200, Type.Array(views.SummarySchema)),
    })
    .get("/:id", ({ params: { id } }) => views.shownDetails(known(() => desk.show(id))), {
      ...byId,
      detail: described("All that is known of a dead letter", 200, views.DetailsSchema),
    })
    .put(
      "/:id/message",
      async ({ params: { id }, body, actor }) => {
        await refusing(desk.edit(id, Buffer.from(JSON.stringify(body)), actor));
        return views.shownDetails(known(() => desk.show(id)));
      },
      {
        ...byId,
        body: AnyMessage,
        detail: described("Put a mended message in the place of the one that came", 200, views.DetailsSchema),
      },
    )
    .post(
      "/:id/replay",
      ({ params: { id }, body, actor }) => replayOne(desk, id, actor, body?.dryRun ?? false),
      { ...byId, body: One, detail: described("Handle it again", 200, views.ResultSchema) },
    )
    .post("/replay", ({ body, actor }) => replayMany(desk, body, actor), {
      body: Bulk,
      detail: described("Handle many again: those named, or the oldest that match", 200, BulkSchema),
    })
    .delete(
      "/:id",
      async ({ params: { id }, body: { reason }, actor, set }) => {
        await refusing(desk.discard(id, reason, actor));
        set.status = 204;
      },
      { ...byId, body: Discard, detail: described("Throw it away; those behind it go on", 204) },
    );
}

const BulkSchema = Type.Object({
  results: Type.Array(views.ResultSchema),
  left: Type.Integer({ description: "Letters that match and were not tried" }),
});

async function replayOne(desk: DeadLetterAdmin, id: number, actor: string, isDryRun: boolean) {
  const [result] = await refusing(desk.replay([id], actor, isDryRun));
  if (result === undefined) throw new TypeError("one letter has one result");
  if (result.refusal !== undefined) {
    throw refusalOf(new DeadLetterRefusal(result.refusal, result.detail ?? result.refusal));
  }
  return views.shownResult(result);
}

async function replayMany(desk: DeadLetterAdmin, body: Static<typeof Bulk>, actor: string) {
  const { ids, filter } = body;
  if ((ids === undefined) === (filter === undefined)) {
    throw new ServiceError("invalid", "invalid-input", "Give either ids or a filter.");
  }
  const chosen =
    filter === undefined ? { ids: ids ?? [], left: 0 } : desk.candidates(filterOf(filter, MAX_BULK));
  const results = await refusing(desk.replay(chosen.ids, actor, body.dryRun ?? false));
  return { results: results.map(views.shownResult), left: chosen.left };
}

function filterOf(
  { olderThan, limit, ...rest }: Static<typeof Filter>,
  defaultLimit: number,
): DeadLetterFilter {
  const olderThanMs = olderThan === undefined ? undefined : durationToMs(olderThan);
  return { ...rest, ...(olderThanMs === undefined ? {} : { olderThanMs }), limit: limit ?? defaultLimit };
}

/** Turns the desk's refusals into those that HTTP knows. */
function known<T>(ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    throw error instanceof DeadLetterRefusal ? refusalOf(error) : error;
  }
}

async function refusing<T>(asked: Promise<T>): Promise<T> {
  try {
    return await storing(asked);
  } catch (error) {
    throw error instanceof DeadLetterRefusal ? refusalOf(error) : error;
  }
}

function refusalOf({ code, message }: DeadLetterRefusal): ServiceError {
  const detail = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
  switch (code) {
    case "not-found":
      return new ServiceError("not-found", "dead-letter-not-found", detail);
    case "edit-invalid":
      return new ServiceError("invalid", "edit-invalid", detail);
    case "blocked":
    case "replayed-too-often":
      return new ServiceError("conflict", code, detail);
    default:
      return code satisfies never;
  }
}

/** For the OpenAPI document. Not as a response schema of the route: Elysia would check and trim every answer. */
function described(summary: string, status: number, schema?: TSchema) {
  const content = schema === undefined ? {} : { content: { "application/json": { schema } } };
  return {
    summary,
    tags: ["dead letters"],
    security: [{ bearer: [] }],
    responses: { [status]: { description: summary, ...content } },
  };
}
