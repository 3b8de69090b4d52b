import { signal } from "@preact/signals";
import { type FiguresReport, fetchFigures } from "../api/supervisor.ts";
import { WINDOW_S } from "./meter.ts";

/** What the services say of themselves; undefined while nobody knows. */
export const figures = signal<FiguresReport | undefined>(undefined);

/** One reading of what waits, over the whole store. `null`: a service, or the broker, did not answer. */
interface Backlog {
  readonly oldestAgeS: number | null;
  readonly lag: number | null;
}

/** The last readings, oldest first. */
export const backlog = signal<readonly Backlog[]>([]);

/** Asks once. @throws Refused, Unreachable */
export async function readFigures(): Promise<void> {
  try {
    const report = await fetchFigures();
    figures.value = report;
    const ages = report.services.flatMap(({ outboxOldestAgeS }) => outboxOldestAgeS ?? []);
    const lags = report.lag === null ? undefined : Object.values(report.lag);
    const reading = {
      oldestAgeS: ages.length === 0 ? null : Math.max(...ages),
      lag: lags === undefined ? null : lags.reduce((sum, lag) => sum + lag, 0),
    };
    backlog.value = [...backlog.peek(), reading].slice(-WINDOW_S);
  } catch (error) {
    figures.value = undefined;
    throw error;
  }
}
