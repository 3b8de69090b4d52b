import type { Owner } from "./scheduler.ts";

/** What the code of a process that has just died runs into, wherever it still turns. */
export class Crashed extends Error {
  override readonly name = "Crashed";
}

/** One life of a process, from its start to its end. */
export class Incarnation implements Owner {
  alive = true;
  readonly process: string;
  readonly #crash: (step: string) => void;

  /** @param crash ends the life of the process, and sees to its restart */
  constructor(process: string, crash: (step: string) => void) {
    this.process = process;
    this.#crash = crash;
  }

  /** The process dies here and now. Nothing of it happens any more. */
  crash(step: string): void {
    if (this.alive) this.#crash(step);
  }
}
