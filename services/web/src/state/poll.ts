import { useEffect, useRef } from "preact/hooks";

/** What repeats a task. */
export interface Polling {
  /** Does it now, unless it is being done just now: then once more right after. */
  now(): void;
  stop(): void;
}

/**
 * Does something again and again: never twice at once, never while nobody can see the page, and at once when
 * somebody can again.
 *
 * @param task what it throws is for itself to show: it is done again all the same
 * @param intervalMs from the end of one to the beginning of the next; asked for anew each time
 */
export function poll(task: () => Promise<unknown>, intervalMs: () => number): Polling {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let again = false;
  let stopped = false;
  const run = async () => {
    clearTimeout(timer);
    if (stopped || document.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    again = false;
    await task().catch(() => {});
    running = false;
    if (stopped) return;
    timer = setTimeout(run, again ? 0 : intervalMs());
  };
  const onVisible = () => void run();
  document.addEventListener("visibilitychange", onVisible);
  void run();
  return {
    now: onVisible,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    },
  };
}

/** `poll` for as long as a component is shown. @param deps begins anew when one of them changes */
export function usePoll(
  task: () => Promise<unknown>,
  intervalMs: number,
  deps: readonly unknown[] = [],
): void {
  const latest = useRef(task);
  latest.current = task;
  useEffect(() => {
    const polling = poll(
      () => latest.current(),
      () => intervalMs,
    );
    return polling.stop;
  }, [intervalMs, ...deps]);
}
