import { errorText } from "@distributed-messaging/messaging";
import type { Logger } from "./log.ts";

/** Something that runs until it is told to stop. */
export interface Stoppable {
  /** Ends it, within `remainingMs` if it can. */
  stop(remainingMs: number): void | Promise<void>;
}

interface Part extends Stoppable {
  readonly name: string;
}

/** After the deadline, each part is still told to stop, but nobody waits longer than this for it. */
const LAST_CALL_MS = 50;

/**
 * The running parts of a service. They stop in the reverse order of their registration: what came last stands
 * on what came first.
 */
export class Lifecycle {
  readonly #parts: Part[] = [];
  #stopping: Promise<readonly string[]> | undefined;

  constructor(readonly log: Logger) {}

  /** Whether `stopAll` was called. */
  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Registers a part under a name for the log, and gives it back. */
  add<Thing extends Stoppable>(name: string, thing: Thing): Thing {
    this.#parts.push({ name, stop: (remainingMs) => thing.stop(remainingMs) });
    return thing;
  }

  /**
   * Stops every part, each told how much of the deadline is left. Never throws.
   *
   * @returns the names of the parts that failed to stop or did not stop in time; the same for every call
   */
  stopAll(deadlineMs: number): Promise<readonly string[]> {
    this.#stopping ??= this.#stopEach(performance.now() + deadlineMs);
    return this.#stopping;
  }

  async #stopEach(deadline: number): Promise<readonly string[]> {
    const failed: string[] = [];
    // Popped one by one, so that a part which is registered meanwhile is stopped as well.
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      const remainingMs = Math.max(0, deadline - performance.now());
      if (!(await this.#stopOne(part, remainingMs))) failed.push(part.name);
    }
    return failed;
  }

  async #stopOne(part: Part, remainingMs: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), Math.max(LAST_CALL_MS, remainingMs));
    const stopped = (async () => {
      await part.stop(remainingMs);
      return true;
    })();
    try {
      return await Promise.race([stopped, late.promise]);
    } catch (error) {
      this.log.error({ err: error, part: part.name }, `${part.name} failed to stop: ${errorText(error)}`);
      return false;
    } finally {
      clearTimeout(timer);
      // When it was late, it may still fail, and nobody would be there to hear it.
      stopped.catch(() => {});
    }
  }
}
