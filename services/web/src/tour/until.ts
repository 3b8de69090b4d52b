import { messageOf } from "../api/request.ts";

/** Longer than any step takes on a busy machine. */
const LIMIT_MS = 60_000;
const FIRST_PAUSE_MS = 60;
const MAX_PAUSE_MS = 800;

/** An expectation of the scenario failed. */
export class ExpectationFailed extends Error {
  override readonly name = "ExpectationFailed";
}

/** @throws ExpectationFailed with the text `otherwise` unless `holds` */
export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new ExpectationFailed(otherwise);
}

/**
 * Repeats `ask` until it has an answer, also after errors, which are expected while processes are down.
 *
 * @throws ExpectationFailed after LIMIT_MS, or at once when `ask` throws it; the reason of `signal` when it is aborted
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  signal?: AbortSignal,
): Promise<T> {
  const startedAt = performance.now();
  let lastError = "";
  for (let pauseMs = FIRST_PAUSE_MS; performance.now() - startedAt < LIMIT_MS; pauseMs *= 1.4) {
    signal?.throwIfAborted();
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      if (error instanceof ExpectationFailed) throw error;
      lastError = messageOf(error);
    }
    await sleep(Math.min(pauseMs, MAX_PAUSE_MS), signal);
  }
  throw new ExpectationFailed(`Waited ${LIMIT_MS / 1000} s for ${what}. ${lastError}`);
}

/** @throws the reason of `signal` when it is aborted */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
