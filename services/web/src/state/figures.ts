import type { FiguresReport } from "@distributed-messaging/supervisor/reports";
import { signal } from "@preact/signals";
import { fetchFigures, hasSupervisor } from "../api/supervisor.ts";
import { poll } from "./poll.ts";
import { WINDOW_S } from "./throughput.ts";

/** The last report of the supervisor; undefined when it did not answer. */
export const figures = signal<FiguresReport | undefined>(undefined);

/** Unsent and unread messages of all services. `null`: no service, or the broker, did not answer. */
interface Backlog {
  readonly oldestAgeS: number | null;
  readonly lag: number | null;
}

/** The last WINDOW_S backlogs, oldest first. */
export const backlog = signal<readonly Backlog[]>([]);

const POLL_MS = 1_000;

export function followFigures(): void {
  if (hasSupervisor) poll(updateFigures, () => POLL_MS);
}

/** Asks the supervisor once. @throws Refused, Unreachable */
async function updateFigures(): Promise<void> {
  try {
    const report = await fetchFigures();
    figures.value = report;
    const ages = report.services.flatMap(({ outboxOldestAgeS }) => outboxOldestAgeS ?? []);
    const lags = report.lag === null ? undefined : Object.values(report.lag);
    const latest = {
      oldestAgeS: ages.length === 0 ? null : Math.max(...ages),
      lag: lags === undefined ? null : lags.reduce((sum, lag) => sum + lag, 0),
    };
    backlog.value = [...backlog.peek(), latest].slice(-WINDOW_S);
  } catch (error) {
    figures.value = undefined;
    throw error;
  }
}
