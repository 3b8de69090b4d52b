import { drainMicrotasks } from "bun:jsc";

/** Who an event belongs to: once it is dead, its events do not happen. */
export interface Owner {
  readonly alive: boolean;
}

interface Event {
  readonly atMs: number;
  /** Breaks ties: of two events at the same time, the one that was planned first. */
  readonly order: number;
  readonly owner: Owner | undefined;
  run: (() => void) | undefined;
}

/**
 * Virtual time. Nothing happens but events, one after the other, in the order of their times; between two of
 * them time jumps. Promise continuations run to their end within the event that settled the promise, so the
 * order of everything is decided here.
 */
export class Scheduler {
  /** Milliseconds since the beginning. */
  nowMs = 0;
  /** Events that have happened. */
  steps = 0;
  /** Whose event is happening. */
  current: Owner | undefined;
  readonly #heap: Event[] = [];
  #order = 0;

  /**
   * Plans an event.
   *
   * @param delayMs from now; a fraction is fine, a negative one counts as none
   * @returns calls it off
   */
  after(delayMs: number, run: () => void, owner?: Owner): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, owner, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Lets the next event happen. @returns whether there was one */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      const { run, owner } = event;
      if (run === undefined || owner?.alive === false) continue;
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
