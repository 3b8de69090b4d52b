import { useEffect, useRef } from "preact/hooks";

export interface Polling {
  /** Runs the task at once, or once more if it is running. */
  now(): void;
  stop(): void;
}

/**
 * Repeats a task: never concurrently, not while the page is hidden, and at once when the page becomes visible.
 *
 * @param task shows its errors itself; it is repeated after an error too
 * @param intervalMs from the end of one run to the start of the next; called after each run
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
  const now = () => void run();
  document.addEventListener("visibilitychange", now);
  now();
  return {
    now,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", now);
    },
  };
}

/** `poll` while a component is mounted. @param deps restart it when they change */
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
