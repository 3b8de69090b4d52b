import type { FiguresReport, InstanceFigures } from "@distributed-messaging/supervisor/reports";
import { computed, signal } from "@preact/signals";
import { fetchFigures, hasSupervisor } from "../api/supervisor.ts";
import { poll } from "./poll.ts";

/** The last report of the supervisor; undefined when it did not answer. */
export const figures = signal<FiguresReport | undefined>(undefined);

const POLL_MS = 1_000;

export function followFigures(): void {
  if (hasSupervisor) poll(updateFigures, () => POLL_MS);
}

/** Asks the supervisor once. @throws Refused, Unreachable */
async function updateFigures(): Promise<void> {
  try {
    figures.value = await fetchFigures();
  } catch (error) {
    figures.value = undefined;
    throw error;
  }
}

/** Of one of several instances; undefined of another process, and while nobody answers. */
export function instanceOf(name: string): InstanceFigures | undefined {
  return figures.value?.services.flatMap(({ instances }) => instances).find((one) => one.name === name);
}

/** The dead letters of all services together. */
export const deadLetters = computed(() =>
  (figures.value?.services ?? []).reduce((sum, one) => sum + (one.deadLetters ?? 0), 0),
);
