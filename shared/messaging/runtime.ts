/**
 * Clocks, random numbers, ids and timers. The kit takes everything that is not a pure function of its input from
 * here, so that a simulation can run it from one seed and repeat a run exactly.
 */
export interface Runtime {
  /** Milliseconds since the epoch. May jump: for time stamps and timers that outlive the process. */
  now(): number;
  /** Milliseconds of a clock that never goes back: for measuring durations. */
  monotonic(): number;
  /** A UUIDv7 (RFC 9562), so that indexes over ids grow at their end. */
  newId(): string;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Calls back once, after the callbacks that already wait. */
  soon(callback: () => void): void;
  /** Calls back once, after `delayMs`, unless the returned function is called before. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  newId: () => Bun.randomUUIDv7(),
  random: () => Math.random(),
  soon: (callback) => {
    setImmediate(callback);
  },
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Waits, as between two tries, until it is ended. */
export class Pause {
  readonly #runtime: Pick<Runtime, "after">;
  #hasEnded = false;
  #wakeUp: () => void = () => {};

  constructor(runtime: Pick<Runtime, "after">) {
    this.#runtime = runtime;
  }

  /** Resolves after `delayMs`, or at once when it has been ended. */
  wait(delayMs: number): Promise<void> {
    if (this.#hasEnded) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#runtime.after(delayMs, resolve);
      this.#wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Nobody waits any more. */
  end(): void {
    this.#hasEnded = true;
    this.#wakeUp();
  }
}

/** Where the kit logs; a pino logger fits. */
export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The bounds of an exponential backoff, in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** How long to wait after a storage fault before anything is tried again. */
export const STORAGE_PAUSE_MS = 1_000;

/**
 * Exponential backoff with equal jitter: the delay doubles with each failure, and a random part of up to a half is
 * taken off, so that those who failed at the same time do not retry at the same time.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @param failures how many tries have failed, from 1
 * @returns milliseconds
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const ceiling = Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling * (0.5 + random() / 2));
}
