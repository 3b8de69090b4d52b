/** Where progress is written: a part of process.stderr. */
interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Where there is no terminal, a line so often at most. */
const LINE_EVERY_MS = 10_000;
const CLEAR_LINE = "\r\x1b[2K";

/**
 * Shows how far long work is. In a terminal it is the last line, which is written over; elsewhere, or with NO_COLOR,
 * plain lines, at most one in ten seconds.
 */
export class Progress {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #overwrites: boolean;
  readonly #startedMs: number;
  #linedMs: number;
  #shown = "";

  constructor(
    output: Output = process.stderr,
    env = process.env,
    now: () => number = () => performance.now(),
  ) {
    this.#output = output;
    this.#now = now;
    this.#overwrites = output.isTTY === true && !env.NO_COLOR;
    this.#startedMs = now();
    this.#linedMs = this.#startedMs;
  }

  /** @param done of `total`, in any unit: with both, the time that is left is estimated from the time that has passed */
  show(text: string, done?: number, total?: number): void {
    const now = this.#now();
    const left = timeLeft(now - this.#startedMs, done, total);
    const line = left === undefined ? text : `${text}, about ${left} left`;
    if (line === this.#shown) return;
    if (this.#overwrites) this.#output.write(`${CLEAR_LINE}${line}`);
    else if (now - this.#linedMs >= LINE_EVERY_MS) {
      this.#output.write(`${line}\n`);
      this.#linedMs = now;
    } else return;
    this.#shown = line;
  }

  /** Removes the line of a terminal, so that other text can follow. */
  clear(): void {
    if (this.#overwrites && this.#shown !== "") this.#output.write(CLEAR_LINE);
    this.#shown = "";
  }
}

/** `40 s`, `12 min`; undefined before anything is done, or when all is. */
export function timeLeft(elapsedMs: number, done?: number, total?: number): string | undefined {
  if (done === undefined || total === undefined || done <= 0 || done >= total) return undefined;
  const seconds = Math.ceil(((elapsedMs / done) * (total - done)) / 1_000);
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
