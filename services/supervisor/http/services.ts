import { ServiceError } from "@distributed-messaging/service/errors";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { FiguresReport, ServiceFigures, TopicReport } from "../reports.ts";

/** A stopped service refuses the connection at once; a paused one does not answer. */
const METRICS_TIMEOUT_MS = 800;
const PROXY_TIMEOUT_MS = 8_000;

/** The paths of a service that the page may request through the supervisor. */
const PROXIED = /^\/dead-letters(\/[\w-]+){0,2}$/;
const PROXIED_OF_INVENTORY = /^\/stock\/[\w-]{1,64}$/;

/** A process of a service, and where it answers. */
export interface InstanceAddress {
  readonly name: string;
  readonly url: string;
}

/**
 * The main metrics and the problems of every service, and the lag of its consumer group.
 *
 * @param topics the source of the lag
 * @param known the check whose problems are shown elsewhere, such as that of a broker which the supervisor runs itself
 */
export async function readFigures(
  instancesOf: (name: ServiceName) => readonly InstanceAddress[],
  topics: () => Promise<readonly TopicReport[]>,
  known?: string,
): Promise<FiguresReport> {
  const lag = Promise.race([
    topics().then(lagByService, () => null),
    Bun.sleep(METRICS_TIMEOUT_MS).then(() => null),
  ]);
  const services = await Promise.all(serviceNames.map((name) => figuresOf(name, instancesOf(name), known)));
  return { at: Date.now(), services, lag: await lag };
}

/** Of several instances, the problems of all, and the figures of the one that leads; where none does, of all together. */
async function figuresOf(
  name: ServiceName,
  instances: readonly InstanceAddress[],
  known: string | undefined,
): Promise<ServiceFigures> {
  const [first, ...others] = await Promise.all(instances.map((instance) => figuresAt(instance, known)));
  if (first === undefined) throw new TypeError(`${name} has no instance`);
  const all = [first, ...others];
  const isLed = all.some(({ leads }) => leads !== null);
  const leader = all.find(({ leads }) => leads === 1) ?? first;
  const figures = isLed ? leader.figures : together(all.map((one) => one.figures));
  const latest = Math.max(...all.map(({ groups }) => groups ?? 0));
  return {
    ...{ name, ...figures },
    problems: [...new Set(all.flatMap(({ figures: { problems } }) => problems))],
    // Of a service whose instances all work, none says whether it leads.
    instances: all
      .filter(() => isLed)
      .map(({ instance, leads, groups }) => ({
        ...{ name: instance, leads: leads === null ? null : leads === 1 },
        behind: groups === null ? null : latest - groups,
      })),
  };
}

/** Sums, and of ages the highest; `null` where none answers. */
function together(all: readonly Answer["figures"][]): Answer["figures"] {
  const of = (
    name: Exclude<keyof Answer["figures"], "problems">,
    join = (one: number, other: number) => one + other,
  ) => {
    const known = all.map((one) => one[name]).filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((one, other) => join(one, other));
  };
  return {
    ...{ outboxDepth: of("outboxDepth"), outboxOldestAgeS: of("outboxOldestAgeS", Math.max) },
    ...{ deadLetters: of("deadLetters"), outboxParked: of("outboxParked") },
    ...{ partitionsStopped: of("partitionsStopped"), problems: [] },
    ...{ handled: of("handled"), duplicates: of("duplicates") },
  };
}

/** What one instance says. */
interface Answer {
  readonly instance: string;
  readonly figures: Omit<ServiceFigures, "name" | "instances">;
  readonly leads: number | null;
  readonly groups: number | null;
}

async function figuresAt({ name, url }: InstanceAddress, known: string | undefined): Promise<Answer> {
  const signal = AbortSignal.timeout(METRICS_TIMEOUT_MS);
  const [text, problems] = await Promise.all([
    fetch(`${url}/metrics`, { signal, keepalive: false })
      .then((response) => (response.ok ? response.text() : ""))
      .catch(() => ""),
    fetch(`${url}/readiness`, { signal, keepalive: false })
      .then((response) => response.json() as Promise<Readiness>)
      .then(({ problems = [] }) => problems)
      .catch(() => []),
  ]);
  const figures = {
    outboxDepth: metricIn(text, "outbox_depth"),
    outboxOldestAgeS: metricIn(text, "outbox_oldest_age_seconds"),
    deadLetters: metricIn(text, "dead_letters"),
    outboxParked: metricIn(text, "outbox_parked"),
    partitionsStopped: metricIn(text, "messaging_partitions_stopped"),
    problems: problems
      .filter(({ check }) => check !== known)
      .map(({ detail, remedy }) => `${detail} ${remedy}`),
    handled: metricIn(text, "messages_handled_total"),
    duplicates: metricIn(text, "messages_duplicate_total"),
  };
  const leads = metricIn(text, "replication_leads");
  return { instance: name, figures, leads, groups: metricIn(text, "replication_groups") };
}

/** What of the answer to `GET /readiness` is shown. */
interface Readiness {
  readonly problems?: readonly { readonly check: string; readonly detail: string; readonly remedy: string }[];
}

/** A metric in the Prometheus text format, the sum over its labels; `null` when it is missing. */
export function metricIn(text: string, name: string): number | null {
  const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
  const sum = samples.reduce((total, [, value]) => total + Number(value), 0);
  return samples.length > 0 && Number.isFinite(sum) ? sum : null;
}

/** The service that a consumer group is of. */
export function serviceOf(group: string): string {
  return group.split(".")[0] ?? group;
}

/** By service: of several instances that each read everything, of the one that has read least. */
function lagByService(topics: readonly TopicReport[]): Record<string, number> {
  const all = topics.flatMap(({ groups }) => groups);
  const lags: Record<string, number> = {};
  for (const [group, parts] of Map.groupBy(all, (one) => one.group)) {
    const lag = parts.reduce((sum, part) => sum + part.lag, 0);
    lags[serviceOf(group)] = Math.max(lag, lags[serviceOf(group)] ?? 0);
  }
  return lags;
}

/**
 * Forwards requests to the services, which then do not have to allow scripts of another origin. The service checks
 * the token, which is forwarded with the request.
 */
export function serviceRoutes(urlOf: (name: ServiceName) => string) {
  return new Elysia().all(
    "/services/:name/*",
    async ({ request, params, body }) => {
      const name = serviceNames.find((one) => one === params.name);
      const path = `/${params["*"]}`;
      const isProxied = PROXIED.test(path) || (name === "inventory" && PROXIED_OF_INVENTORY.test(path));
      if (name === undefined || !isProxied) {
        throw new ServiceError("not-found", "not-found", "There is nothing at this path.");
      }
      return forward(request, `${urlOf(name)}${path}${new URL(request.url).search}`, name, body ?? undefined);
    },
    {
      params: Type.Object({ name: Type.String({ maxLength: 64 }), "*": Type.String({ maxLength: 256 }) }),
      // The documents of the services describe what it forwards.
      detail: { hide: true },
    },
  );
}

async function forward(request: Request, url: string, name: ServiceName, body: unknown): Promise<Response> {
  const authorization = request.headers.get("authorization");
  let response: Response;
  try {
    response = await fetch(url, {
      method: request.method,
      headers: {
        ...(authorization === null ? {} : { authorization }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(PROXY_TIMEOUT_MS),
      keepalive: false,
      redirect: "error",
    });
  } catch {
    throw new ServiceError("unavailable", "service-silent", `The ${name} service does not answer.`);
  }
  const type = response.headers.get("content-type");
  return new Response(response.body, {
    status: response.status,
    headers: type === null ? {} : { "content-type": type },
  });
}
