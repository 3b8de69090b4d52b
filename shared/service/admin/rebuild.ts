import { closed, type Logger, type Rebuild, type RebuildStatus } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { documented } from "../http/openapi.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";

// Without a body it is the same as with `{}`.
const Request = Type.Optional(Type.Object({ dropUnaccounted: Type.Optional(Type.Boolean()) }, closed));

// For the OpenAPI document.
const Time = Type.String({ format: "date-time" });
const Count = Type.Integer({ minimum: 0 });
const StatusSchema = Type.Object({
  phase: Type.String(),
  startedAt: Type.Optional(Time),
  endedAt: Type.Optional(Time),
  error: Type.Optional(Type.String()),
  ...{ skipped: Count, unaccounted: Count, read: Count, toRead: Count },
});

const REBUILD = { name: "rebuild", description: "Projections, made again from the topics" };

/**
 * Starts a rebuild of a service's projections, and shows its progress. Every request needs an admin's token; who asks for
 * a rebuild is logged.
 */
export function rebuildRoutes(rebuild: Rebuild, verifier: TokenVerifier, log: Logger) {
  return new Elysia({ prefix: "/rebuild" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get("", () => shown(rebuild.status()), {
      detail: documented("Progress of the last rebuild (admin)", {
        tag: REBUILD,
        answers: { 200: StatusSchema },
        access: "admin",
      }),
    })
    .post(
      "",
      async ({ body, actor, set }) => {
        const dropUnaccounted = body?.dropUnaccounted ?? false;
        const hasBegun = await rebuild.begin(dropUnaccounted);
        if (hasBegun) log.warn({ actor, dropUnaccounted }, "an admin began a rebuild of the projections");
        set.status = 202;
        return shown(rebuild.status());
      },
      {
        body: Request,
        detail: documented("Rebuilds the projections from the topics, unless a rebuild runs (admin)", {
          tag: REBUILD,
          answers: { 202: StatusSchema },
          access: "admin",
        }),
      },
    );
}

export type ShownRebuild = ReturnType<typeof shown>;

function shown({ startedAt, endedAt, error, ...status }: RebuildStatus) {
  return {
    ...status,
    ...(startedAt === null ? {} : { startedAt: new Date(startedAt).toISOString() }),
    ...(endedAt === null ? {} : { endedAt: new Date(endedAt).toISOString() }),
    ...(error === null ? {} : { error }),
  };
}
