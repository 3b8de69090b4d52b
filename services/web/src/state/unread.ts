import type { FiguresReport } from "@distributed-messaging/supervisor/reports";

/** Messages that a service had not read at a look. */
export interface Unread {
  /** When they were seen, in milliseconds since the epoch. */
  readonly at: number;
  /** How many messages the service had handled at the last look. */
  readonly handled: number;
  /** How many it has handled once these are read. */
  readonly until: number;
}

/**
 * Since when each service has messages that it does not read. Under steady load there are unread ones at each look, but
 * others than before: what was unread is read when as many more are handled.
 */
export function unreadAfter(
  before: ReadonlyMap<string, Unread>,
  {
    at,
    lag,
    services,
  }: Pick<FiguresReport, "at" | "lag"> & {
    readonly services: readonly Pick<FiguresReport["services"][number], "name" | "handled">[];
  },
): ReadonlyMap<string, Unread> {
  if (lag === null || lag === undefined) return before;
  const after = new Map<string, Unread>();
  for (const [name, count] of Object.entries(lag)) {
    if (count === 0) continue;
    const earlier = before.get(name);
    // A service that does not answer has handled nothing since; one that has restarted counts from 0.
    const handled = services.find((service) => service.name === name)?.handled ?? earlier?.handled ?? 0;
    const isSame = earlier !== undefined && handled >= earlier.handled && handled < earlier.until;
    after.set(name, isSame ? { ...earlier, handled } : { at, handled, until: handled + count });
  }
  return after;
}
