import { errorText } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { documented } from "./openapi.ts";

/** What is wrong, and what to do about it: two sentences for whoever runs the service, without secrets. */
export interface Problem {
  readonly detail: string;
  readonly remedy: string;
}

/** Something that a service checks. */
export interface HealthCheck {
  readonly name: string;
  /** Whether the service is not ready while it has a problem. One of a check that is not required is shown only. */
  readonly required: boolean;
  /** What is wrong; nothing when all is well. A throw, or no result within a second, is a problem itself. */
  problems(): readonly Problem[] | Promise<readonly Problem[]>;
  /** What to do when the check itself fails. */
  readonly remedy?: string;
}

/** What a check found. */
interface Checked extends HealthCheck {
  readonly found: readonly Problem[];
}

const Liveness = Type.Object({ app: Type.String(), status: Type.Literal("UP") });
const Readiness = Type.Object({
  app: Type.String(),
  ready: Type.Boolean(),
  checks: Type.Record(Type.String(), Type.Union([Type.Literal("UP"), Type.Literal("DOWN")])),
  problems: Type.Array(
    Type.Object(
      { check: Type.String(), detail: Type.String(), remedy: Type.String() },
      {
        description: "What is wrong with a check that is DOWN, and what to do about it",
      },
    ),
  ),
});

const CHECK_DEADLINE_MS = 1000;
/** Of one check: a stopped partition is one, and there may be many. */
const MOST_SHOWN = 20;

/** Runs checks, at the same time. */
export function runChecks(checks: readonly HealthCheck[]): Promise<Checked[]> {
  return Promise.all(checks.map(async (check) => ({ ...check, found: await problemsOf(check) })));
}

async function problemsOf(check: HealthCheck): Promise<readonly Problem[]> {
  const { remedy = "Look at the log of the service." } = check;
  const deadline = Promise.withResolvers<readonly Problem[]>();
  const late = { detail: `The check ${check.name} gave no result within a second.`, remedy };
  const timer = setTimeout(() => deadline.resolve([late]), CHECK_DEADLINE_MS);
  try {
    // Inside an async function, a synchronous throw is a rejection as well.
    return await Promise.race([(async () => check.problems())(), deadline.promise]);
  } catch (error) {
    return [{ detail: `The check ${check.name} failed: ${errorText(error)}.`, remedy }];
  } finally {
    clearTimeout(timer);
  }
}

/**
 * `GET /liveness`: the process answers; an orchestrator restarts it otherwise. `GET /readiness`: 200 when every
 * required check passes, else 503; a load balancer sends nothing here then. What is wrong is in `problems`, also
 * where the service is ready.
 */
export function healthRoutes(app: string, checks: readonly HealthCheck[]) {
  return new Elysia({ name: "health" })
    .get("/liveness", () => ({ app, status: "UP" as const }), {
      detail: documented("The process answers", { answers: { 200: Liveness } }),
    })
    .get(
      "/readiness",
      async ({ set }) => {
        const checked = await runChecks(checks);
        const ready = checked.every(({ required, found }) => !required || found.length === 0);
        if (!ready) set.status = 503;
        return {
          app,
          ready,
          checks: Object.fromEntries(
            checked.map(({ name, found }) => [name, found.length === 0 ? "UP" : "DOWN"]),
          ),
          problems: checked.flatMap(({ name, found }) =>
            found.slice(0, MOST_SHOWN).map(({ detail, remedy }) => ({ check: name, detail, remedy })),
          ),
        };
      },
      {
        detail: documented("Whether the service is ready, and what is wrong with what it depends on", {
          answers: { 200: Readiness, 503: Readiness },
        }),
      },
    );
}
