import { closed, type Rebuild, type RebuildStatus } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";

// Without a body it is the same as with `{}`.
const Request = Type.Optional(Type.Object({ dropUnaccounted: Type.Optional(Type.Boolean()) }, closed));

/** Starts a rebuild of a service's projections, and shows its progress. Every request needs an admin's token. */
export function rebuildRoutes(rebuild: Rebuild, verifier: TokenVerifier) {
  const security = [{ bearer: [] }];
  return new Elysia({ prefix: "/rebuild" })
    .derive(async ({ request }) => requireAdmin(await authenticate(request, verifier)))
    .get("", () => shown(rebuild.status()), {
      detail: { summary: "Progress of the last rebuild (admin)", security },
    })
    .post(
      "",
      async ({ body, set }) => {
        await rebuild.begin(body?.dropUnaccounted ?? false);
        set.status = 202;
        return shown(rebuild.status());
      },
      {
        body: Request,
        detail: {
          summary: "Rebuilds the projections from the topics, unless a rebuild runs (admin)",
          security,
        },
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
