import { computed, effect, signal } from "@preact/signals";
import { sleep } from "./until.ts";

/** How the steps of a demonstration follow each other. */
export interface Pace {
  /** Resolves when the next step may begin. @throws the reason of `ended` */
  readonly beforeStep: (ended: AbortSignal) => Promise<void>;
  /** Between two orders of one step. @throws the reason of `ended` */
  readonly moment: (ended: AbortSignal) => Promise<void>;
}

/** Nothing waits for a visitor: for tests, and for those who have seen it. */
export const allAtOnce: Pace = { beforeStep: async () => {}, moment: async () => {} };

/** How long a step stays before the next one begins by itself, and a moment between two orders. */
const READING_MS = 6_000;
const MOMENT_MS = 700;

/** Whether the steps follow each other by themselves. Otherwise each waits for `next`. */
export const plays = signal(false);

const waiting = signal<(() => void) | undefined>(undefined);
/** Whether a step waits for `next`. */
export const waitsForNext = computed(() => waiting.value !== undefined);

/** Begins the step that waits; without one it does nothing. */
export function next(): void {
  waiting.peek()?.();
}

/** At the pace of a person: a step begins when the visitor asks for it, or some seconds after the one before. */
export const personal: Pace = {
  beforeStep: (ended) =>
    new Promise((resolve, reject) => {
      const proceed = () => {
        stopPlaying();
        ended.removeEventListener("abort", abort);
        waiting.value = undefined;
        resolve();
      };
      const abort = () => {
        stopPlaying();
        waiting.value = undefined;
        reject(ended.reason);
      };
      const stopPlaying = effect(() => {
        if (!plays.value) return;
        const timer = setTimeout(proceed, READING_MS);
        return () => clearTimeout(timer);
      });
      if (ended.aborted) return abort();
      ended.addEventListener("abort", abort, { once: true });
      waiting.value = proceed;
    }),
  moment: (ended) => sleep(MOMENT_MS, ended),
};
