import { Elysia } from "elysia";

/** One thing that a service stands on. */
export interface HealthCheck {
  readonly name: string;
  /** Whether the service is of no use without it. A check that is not required is shown and changes nothing. */
  readonly required: boolean;
  /** Whether it works. What throws, or has not answered after a second, does not work. */
  check(): boolean | Promise<boolean>;
}

export type CheckStatus = "UP" | "DOWN";

export interface Readiness {
  readonly app: string;
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, CheckStatus>>;
}

const CHECK_DEADLINE_MS = 1000;

/** Runs every check at once; never throws and takes about a second at most. */
export async function readiness(app: string, checks: readonly HealthCheck[]): Promise<Readiness> {
  const results = await Promise.all(checks.map(statusOf));
  const ready = checks.every((check, index) => !check.required || results[index] === "UP");
  return {
    app,
    ready,
    checks: Object.fromEntries(checks.map((check, i) => [check.name, results[i] ?? "DOWN"])),
  };
}

async function statusOf(check: HealthCheck): Promise<CheckStatus> {
  const deadline = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => deadline.resolve(false), CHECK_DEADLINE_MS);
  try {
    // The call sits inside an async function, so that a synchronous throw is a rejection as well.
    return (await Promise.race([(async () => check.check())(), deadline.promise])) ? "UP" : "DOWN";
  } catch {
    return "DOWN";
  } finally {
    clearTimeout(timer);
  }
}

/**
 * `GET /liveness`: the process answers, so leave it alone. `GET /readiness`: 200 when everything that is
 * required works, else 503, so that nothing is sent here.
 */
export function healthRoutes(app: string, checks: readonly HealthCheck[]) {
  return new Elysia({ name: "health" })
    .get("/liveness", () => ({ app, status: "UP" as const }), { detail: { summary: "The process answers" } })
    .get(
      "/readiness",
      async ({ set }) => {
        const answer = await readiness(app, checks);
        if (!answer.ready) set.status = 503;
        return answer;
      },
      { detail: { summary: "Whether the service can do its work, and what it stands on" } },
    );
}
