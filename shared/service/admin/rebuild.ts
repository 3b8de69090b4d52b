import { closed, type Rebuild, type RebuildStatus } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { storing } from "../http/write.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";

// Optional, so that no body means the same as `{}`.
const Request = Type.Optional(Type.Object({ dropUnaccounted: Type.Optional(Type.Boolean()) }, closed));

/** How an admin has a service's copies made anew, and sees how far that is. */
export function rebuildRoutes(rebuild: Rebuild, verifier: TokenVerifier) {
  const security = [{ bearer: [] }];
  return new Elysia({ prefix: "/rebuild" })
    .derive(async ({ request }) => requireAdmin(await authenticate(request, verifier)))
    .get("", () => shown(rebuild.status()), {
      detail: { summary: "How the last rebuild stands (admin)", security },
    })
    .post(
      "",
      async ({ body, set }) => {
        await storing(rebuild.begin(body?.dropUnaccounted ?? false));
        set.status = 202;
        return shown(rebuild.status());
      },
      {
        body: Request,
        detail: {
          summary: "Make the copies anew from the topics, unless that is under way (admin)",
          security,
        },
      },
    );
}

/** A rebuild as it is shown. */
export type ShownRebuild = ReturnType<typeof shown>;

function shown({ startedAt, endedAt, error, ...status }: RebuildStatus) {
  return {
    ...status,
    ...(startedAt === null ? {} : { startedAt: new Date(startedAt).toISOString() }),
    ...(endedAt === null ? {} : { endedAt: new Date(endedAt).toISOString() }),
    ...(error === null ? {} : { error }),
  };
}
