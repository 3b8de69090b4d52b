import { allMessages, allTopics } from "@distributed-messaging/contracts";
import {
  closed,
  type Handler,
  type Messaging,
  Rebuild,
  type RebuildStatus,
  type ServiceDatabase,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { type CommonConfig, kafkaSettings } from "../defaults.ts";
import { storing } from "../http/write.ts";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import type { Service } from "../run.ts";

export interface RebuildParts {
  readonly config: CommonConfig;
  readonly database: ServiceDatabase;
  readonly messaging: Messaging;
  /** Those that keep the copies. */
  readonly handlers: readonly Handler[];
  /** Where they keep them. */
  readonly tables: readonly string[];
}

/**
 * Lets a service make its copies anew, and goes on with a rebuild that the last process did not finish. It reads over
 * a connection of its own, so that the usual work is not held up; there is none for as long as nobody asks for one.
 */
export function startRebuild(service: Service, parts: RebuildParts): Rebuild {
  const { config, messaging, ...options } = parts;
  const { log, lifecycle } = service;
  const settings = kafkaSettings(`${service.name}-rebuild`, config);
  const transport = kafkaTransport(settings, allTopics, systemRuntime, log);
  lifecycle.add("rebuild's broker connection", { stop: () => transport.close() });
  const rebuild = new Rebuild({
    ...options,
    service: service.name,
    unitOfWork: messaging.unitOfWork,
    subscriber: transport,
    definitions: allMessages,
    runtime: systemRuntime,
    log,
  });
  lifecycle.add("rebuild", rebuild);
  rebuild.resume();
  return rebuild;
}

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
