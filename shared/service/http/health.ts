import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { documented, HEALTH } from "./openapi.ts";

/** A dependency that a service checks. */
export interface HealthCheck {
  readonly name: string;
  /** Whether the service is not ready without it. A check that is not required is shown only. */
  readonly required: boolean;
  /** Whether the dependency works. A throw, or no result within a second, counts as false. */
  check(): boolean | Promise<boolean>;
}

const Liveness = Type.Object({ app: Type.String(), status: Type.Literal("UP") });
const Readiness = Type.Object({
  app: Type.String(),
  ready: Type.Boolean(),
  checks: Type.Record(Type.String(), Type.Union([Type.Literal("UP"), Type.Literal("DOWN")])),
});

const CHECK_DEADLINE_MS = 1000;

async function statusOf(check: HealthCheck): Promise<"UP" | "DOWN"> {
  const deadline = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => deadline.resolve(false), CHECK_DEADLINE_MS);
  try {
    // Inside an async function, a synchronous throw is a rejection as well.
    return (await Promise.race([(async () => check.check())(), deadline.promise])) ? "UP" : "DOWN";
  } catch {
    return "DOWN";
  } finally {
    clearTimeout(timer);
  }
}

/**
 * `GET /liveness`: the process answers; an orchestrator restarts it otherwise. `GET /readiness`: 200 when every
 * required check passes, else 503; a load balancer sends nothing here then.
 */
export function healthRoutes(app: string, checks: readonly HealthCheck[]) {
  return new Elysia({ name: "health" })
    .get("/liveness", () => ({ app, status: "UP" as const }), {
      detail: documented("The process answers", { tag: HEALTH, answers: { 200: Liveness } }),
    })
    .get(
      "/readiness",
      async ({ set }) => {
        const results = await Promise.all(
          checks.map(async (check) => ({ ...check, status: await statusOf(check) })),
        );
        const ready = results.every(({ required, status }) => !required || status === "UP");
        if (!ready) set.status = 503;
        return { app, ready, checks: Object.fromEntries(results.map(({ name, status }) => [name, status])) };
      },
      {
        detail: documented("Whether the service is ready, and the state of what it depends on", {
          tag: HEALTH,
          answers: { 200: Readiness, 503: Readiness },
        }),
      },
    );
}
