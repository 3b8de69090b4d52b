import { drainMicrotasks } from "bun:jsc";

/** Thrown into code of a process that has crashed and still runs. */
export class Crashed extends Error {
  override readonly name = "Crashed";
}

/** A process from one start to its end. Events that it owns do not happen after its end. */
export class Incarnation {
  alive = true;
  /** In virtual time: what it owns happens then, not earlier, as in a process that is paused. */
  pausedUntilMs = 0;
  readonly process: string;
  readonly #crash: (cause: string) => void;

  /** @param crash ends the incarnation and schedules the next one */
  constructor(process: string, crash: (cause: string) => void) {
    this.process = process;
    this.#crash = crash;
  }

  crash(cause: string): void {
    if (this.alive) this.#crash(cause);
  }
}

interface Event {
  atMs: number;
  /** Events of the same time happen in the order in which they were scheduled. */
  order: number;
  readonly owner: Incarnation | undefined;
  run: (() => void) | undefined;
}

/**
 * Virtual time: events happen one after the other in the order of their times, and time jumps from one to the next.
 * Promise continuations run within the event that settled the promise, so the scheduler determines the order of
 * everything.
 */
export class Scheduler {
  /** Milliseconds since the start of the run. */
  nowMs = 0;
  /** Events that have happened. */
  steps = 0;
  /** The owner of the event that happens at the moment. */
  current: Incarnation | undefined;
  readonly #heap: Event[] = [];
  #order = 0;

  /**
   * Schedules an event.
   *
   * @param delayMs from now, fractions included; a negative delay counts as none
   * @returns cancels the event
   */
  after(delayMs: number, run: () => void, owner?: Incarnation): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, owner, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Runs the next event, if there is one by `untilMs`. @returns whether there was one */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    while ((this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY) <= untilMs) {
      const event = this.#pop();
      if (event === undefined) return false;
      const { run, owner } = event;
      if (run === undefined || owner?.alive === false) continue;
      if (owner !== undefined && owner.pausedUntilMs > event.atMs) {
        // The same object: what cancels it still does.
        this.#push(Object.assign(event, { atMs: owner.pausedUntilMs, order: this.#order++ }));
        continue;
      }
      this.nowMs = event.atMs;
      this.steps += 1;
      this.current = owner;
      run();
      drainMicrotasks();
      this.current = undefined;
      return true;
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      let below = heap[child];
      const right = heap[child + 1];
      if (below !== undefined && right !== undefined && isBefore(right, below)) {
        below = right;
        child += 1;
      }
      if (below === undefined || !isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(some: Event, other: Event): boolean {
  return some.atMs < other.atMs || (some.atMs === other.atMs && some.order < other.order);
}

/** Lines that are kept for the report of a failed run. */
const KEPT_LINES = 400;

/** A log of everything that happened: a digest of all lines, and the last lines as text. */
export class Trace {
  lines = 0;
  readonly #scheduler: Scheduler;
  readonly #print: ((line: string) => void) | undefined;
  readonly #tail: string[] = [];
  #digest = 0n;

  /** @param print is given every line */
  constructor(scheduler: Scheduler, print?: (line: string) => void) {
    this.#scheduler = scheduler;
    this.#print = print;
  }

  note(actor: string, text: string): void {
    const line = `${this.#scheduler.nowMs.toFixed(3)} ${actor}: ${text}`;
    this.#digest = Bun.hash.xxHash64(line, this.#digest);
    this.#tail[this.lines % KEPT_LINES] = line;
    this.lines += 1;
    this.#print?.(line);
  }

  /** Equal for runs in which the same things happened at the same times. */
  get digest(): string {
    return this.#digest.toString(16).padStart(16, "0");
  }

  /** The last lines, oldest first. */
  tail(count: number): string[] {
    const from = Math.max(0, this.lines - Math.min(count, KEPT_LINES));
    return Array.from(
      { length: this.lines - from },
      (_, index) => this.#tail[(from + index) % KEPT_LINES] ?? "",
    );
  }
}
