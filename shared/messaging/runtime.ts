/**
 * The world as the kit sees it: time, chance, and "later". Everything that is not a pure function of its input
 * comes through here, so that a simulation can put a seed in the place of the world and replay it exactly.
 */
export interface Runtime {
  /** Milliseconds since the epoch. May jump: for time stamps and deadlines that outlive the process. */
  now(): number;
  /** Milliseconds that only ever grow: for measuring how long something took. */
  monotonic(): number;
  /** A UUIDv7 (RFC 9562), so that indexes over ids grow at their end. */
  newId(): string;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Calls back once, after what is already waiting to be done. */
  soon(callback: () => void): void;
  /** Calls back once, after `delayMs`, unless the returned function was called before. */
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

/** Where the kit says what happened; pino fits. */
export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** How long to wait before the next try. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/**
 * Exponential backoff with full jitter: somewhere between half of and all of the doubled delay, so that those
 * who failed together do not come back together.
 *
 * @param failures how many tries have failed, from 1
 * @returns milliseconds
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const ceiling = Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling * (0.5 + random() / 2));
}
