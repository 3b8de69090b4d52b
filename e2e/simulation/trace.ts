/** Lines that are kept for the report of a run that failed. */
const TAIL = 400;

/** What happened, in order: a digest of all of it, and the last lines to read. */
export class Trace {
  /** How many lines there were. */
  lines = 0;
  readonly #now: () => number;
  readonly #tell: ((line: string) => void) | undefined;
  readonly #tail: string[] = [];
  #digest = 0n;

  /**
   * @param now virtual milliseconds
   * @param tell takes every line as it comes
   */
  constructor(now: () => number, tell?: (line: string) => void) {
    this.#now = now;
    this.#tell = tell;
  }

  note(who: string, what: string): void {
    const line = `${this.#now().toFixed(3)} ${who}: ${what}`;
    this.#digest = Bun.hash.xxHash64(line, this.#digest);
    this.#tail[this.lines % TAIL] = line;
    this.lines += 1;
    this.#tell?.(line);
  }

  /** Two runs that did the same things at the same times have the same. */
  get digest(): string {
    return this.#digest.toString(16).padStart(16, "0");
  }

  /** The last lines, oldest first. */
  tail(count: number): string[] {
    const from = Math.max(0, this.lines - Math.min(count, TAIL));
    return Array.from({ length: this.lines - from }, (_, index) => this.#tail[(from + index) % TAIL] ?? "");
  }
}
