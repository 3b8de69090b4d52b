import { serviceNames } from "@distributed-messaging/services/registry";
import type { Settings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { request } from "../command/client.ts";
import { CommandFailed } from "../command/command.ts";
import { type Finding, failed, ok, warning } from "./finding.ts";

interface Readiness {
  readonly app: string;
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, "UP" | "DOWN">>;
  readonly problems?: readonly { readonly check: string; readonly detail: string; readonly remedy: string }[];
}

const WARNED_SKEW_MS = 2_000;
/** Tokens are valid for minutes, and a token from the future is refused. */
const FAILED_SKEW_MS = 30_000;
/** What HTTP's Date leaves out (RFC 9110 §5.6.7). */
const DATE_PRECISION_MS = 1_000;

/** What the services that run say about themselves, and by how much their clocks differ from that of this machine. */
export async function checkServices(
  { host, ports }: Settings,
  isProduction: boolean,
): Promise<{ readonly findings: readonly Finding[]; readonly running: number }> {
  const findings: Finding[] = [];
  let running = 0;
  for (const name of serviceNames) {
    const url = urlOf(host, ports[name]);
    const sentAt = Date.now();
    const answer = await request("GET", `${url}/readiness`).catch(ignoreCommandFailed);
    if (answer === undefined) {
      findings.push(warning("services", `${name} does not run at ${url}`, `start it, if it should`));
      continue;
    }
    const receivedAt = Date.now();
    const readiness = (await answer.json().catch(() => undefined)) as Readiness | undefined;
    if (readiness?.app !== name) {
      const remedy = "set HOST and the ports as for the services";
      findings.push(failed("services", `${url} is not ${name}`, remedy));
      continue;
    }
    running += 1;
    findings.push(...readinessOf(name, readiness), clockOf(name, answer, sentAt, receivedAt));
  }
  findings.push(...(await openDoors({ host, ports }, isProduction)));
  return { findings, running };
}

function readinessOf(name: string, { ready, checks, problems = [] }: Readiness): Finding[] {
  const make = ready ? warning : failed;
  const down = Object.entries(checks).flatMap(([check, state]) => (state === "DOWN" ? [check] : []));
  if (down.length === 0) return [ok("services", `${name} is ready`)];
  return down.flatMap((check) => {
    const own = problems.filter((problem) => problem.check === check);
    const head = `${name}: ${check} is DOWN`;
    return own.length === 0
      ? [make("services", head, `docs/operations.md#servicenotready says what to do about ${check}`)]
      : own.map(({ detail, remedy }) => make("services", `${head}: ${detail}`, remedy));
  });
}

/** The clock of this machine was between `from` and `to` when the answer was written. */
function clockOf(name: string, answer: Response, from: number, to: number): Finding {
  const date = Date.parse(answer.headers.get("date") ?? "");
  if (Number.isNaN(date)) {
    return warning("clock", `${name} sends no Date`, "compare the clocks of the machines by hand");
  }
  const skewMs = Math.max(0, from - (date + DATE_PRECISION_MS), date - to);
  const text = `the clock of ${name} differs by ${skewMs < 1_000 ? "less than a second" : `${(skewMs / 1000).toFixed(1)} s`}`;
  const remedy = "synchronize the clocks of all machines (NTP): tokens, timers and retention follow them";
  if (skewMs > FAILED_SKEW_MS) return failed("clock", text, remedy);
  return skewMs > WARNED_SKEW_MS ? warning("clock", text, remedy) : ok("clock", text);
}

/** What the services that run let anybody do, whatever the environment of this command says. */
async function openDoors(
  { host, ports }: Pick<Settings, "host" | "ports">,
  isProduction: boolean,
): Promise<Finding[]> {
  const make = isProduction ? failed : warning;
  /** Each is refused, as it names nobody; a service without it answers 404. */
  const doors = [
    ["sign-in", "POST", `${urlOf(host, ports["api-gateway"])}/sessions`, "the demo sign-in", "DEMO_SIGN_IN"],
    [
      "automation",
      "DELETE",
      `${urlOf(host, ports.inventory)}/automation-testing/all`,
      "routes for tests",
      "AUTOMATION_TESTING",
    ],
  ] as const;
  const findings = await Promise.all(
    doors.map(async ([check, method, url, what, setting]) => {
      const answer = await request(method, url).catch(ignoreCommandFailed);
      if (answer === undefined || answer.status === 404) return [];
      return [make(check, `${new URL(url).origin} has ${what}`, `start it without ${setting}`)];
    }),
  );
  return findings.flat();
}

function ignoreCommandFailed(error: unknown): undefined {
  if (!(error instanceof CommandFailed)) throw error;
}
