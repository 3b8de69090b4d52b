import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import type { FiguresReport, ServiceFigures, TopicReport } from "../reports.ts";

/** A service that is stopped refuses at once; one that is paused says nothing. */
const ANSWER_MS = 800;

/**
 * What every service says of itself in its `/metrics`, and what its consumer group has still to read.
 *
 * @param topics asked for the lag
 */
export async function readFigures(
  urlOf: (name: ServiceName) => string,
  topics: () => Promise<readonly TopicReport[]>,
): Promise<FiguresReport> {
  const lag = within(ANSWER_MS, topics()).then(lagByGroup, () => null);
  const services = await Promise.all(serviceNames.map((name) => figuresOf(name, urlOf(name))));
  return { at: Date.now(), services, lag: await lag };
}

async function figuresOf(name: ServiceName, url: string): Promise<ServiceFigures> {
  const text = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS), keepalive: false })
    .then((response) => (response.ok ? response.text() : ""))
    .catch(() => "");
  return {
    name,
    outboxDepth: metric(text, "outbox_depth"),
    outboxOldestAgeS: metric(text, "outbox_oldest_age_seconds"),
    deadLetters: metric(text, "dead_letters"),
    handled: metric(text, "messages_handled_total"),
    duplicates: metric(text, "messages_duplicate_total"),
  };
}

/** One figure in Prometheus's text format; `null` when it is not there. */
export function metric(text: string, name: string): number | null {
  const value = Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? value : null;
}

function lagByGroup(topics: readonly TopicReport[]): Record<string, number> {
  const all = topics.flatMap(({ groups }) => groups);
  const byGroup = Map.groupBy(all, ({ group }) => group);
  return Object.fromEntries(
    [...byGroup].map(([group, parts]) => [group, parts.reduce((sum, { lag }) => sum + lag, 0)]),
  );
}

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`no answer for ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
