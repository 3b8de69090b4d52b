import { StorageError } from "../errors.ts";
import { MAX_CRASHES } from "../inbox/crash-guard.ts";
import type { Processor } from "../inbox/processor.ts";
import { judge, type RetryPolicy } from "../inbox/retry.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { DeadLetter, DeadLetterStore } from "./store.ts";

const STORAGE_PAUSE_MS = 1_000;

/**
 * Sends on those that waited behind a dead letter once it is gone: in their order, each through the inbox and
 * as one effect. A line is free again for messages from the broker in the very transaction that handles its
 * last one. One that fails on the way is parked in its turn, and those behind it go on waiting.
 */
export class BlockedMessageReplayer {
  readonly #letters: DeadLetterStore;
  readonly #processor: Processor;
  readonly #unitOfWork: UnitOfWork;
  readonly #retry: RetryPolicy;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #afterCrash: boolean;
  /** The letter that is known to have begun in this life of the process. */
  #begun: number | undefined;
  #running: Promise<void> | undefined;
  #cancelPause: () => void = () => {};
  #stopped = false;

  constructor(options: {
    letters: DeadLetterStore;
    processor: Processor;
    unitOfWork: UnitOfWork;
    retry: RetryPolicy;
    runtime: Runtime;
    log: Logger;
    /** Whether the last process on this file died at work: then each letter is written down before it begins. */
    afterCrash: boolean;
  }) {
    this.#letters = options.letters;
    this.#processor = options.processor;
    this.#unitOfWork = options.unitOfWork;
    this.#retry = options.retry;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#afterCrash = options.afterCrash;
  }

  /** Sets `release` going; what goes wrong is logged, and tried again at the next release. */
  wake(): void {
    this.release().catch((error: unknown) =>
      this.#log.warn({ err: error }, "messages go on waiting behind dead letters that are gone"),
    );
  }

  /** Resolves when nobody is waiting behind a letter that is gone. Also called at the start: a process may have
   * died in the middle of it. */
  async release(): Promise<void> {
    // One at a time; who comes while it runs waits for a run of their own.
    while (this.#running !== undefined) await this.#running;
    this.#running = this.#releaseAll().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPause();
    await this.#running;
  }

  async #releaseAll(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      try {
        const letter = this.#letters.firstReleased();
        if (letter === undefined) return;
        failures = await this.#release(letter, failures);
      } catch (error) {
        this.#log.warn({ err: error }, "dead letters wait: the disk refuses");
        await this.#pause(STORAGE_PAUSE_MS);
      }
    }
  }

  /** @returns how often the letter has failed in a row by now. @throws when the disk refuses */
  async #release({ id }: DeadLetter, failures: number): Promise<number> {
    try {
      if (this.#afterCrash && this.#begun !== id) await this.#beginAlone(id);
      await this.#unitOfWork.run((transaction) => {
        // Looked up again: meanwhile somebody may have edited it, or thrown it away.
        const letter = this.#letters.find(id);
        if (letter?.reason !== "blocked") return;
        const outcome = this.#processor.process(letter.edited ?? letter.value, transaction);
        if (outcome.status === "rejected") {
          this.#letters.fail(id, { reason: outcome.reason, error: outcome.detail, attempts: 1 });
        } else this.#letters.remove(id);
      });
      return 0;
    } catch (error) {
      if (error instanceof StorageError) throw error;
      return (await this.#failed(id, failures + 1, error)) ? failures + 1 : 0;
    }
  }

  /** Writes down that a letter begins, or parks it when too many processes have died with it. */
  async #beginAlone(id: number): Promise<void> {
    await this.#unitOfWork.run(() => {
      const letter = this.#letters.find(id);
      if (letter?.reason !== "blocked") return;
      const { attempts } = letter;
      if (attempts < MAX_CRASHES) this.#letters.begin(id);
      else {
        const error = `it took the process down with it ${attempts} times`;
        this.#letters.fail(id, { reason: "crash", error, attempts });
      }
    });
    this.#begun = id;
  }

  /** @returns whether it waited, for the letter to be tried again */
  async #failed(id: number, failures: number, error: unknown): Promise<boolean> {
    const verdict = judge(error, failures, this.#retry, () => this.#runtime.random());
    this.#log.warn({ err: error, id, failures }, "a released message failed");
    if ("retryAfterMs" in verdict) {
      await this.#pause(verdict.retryAfterMs);
      return true;
    }
    await this.#unitOfWork.run(() => this.#letters.fail(id, verdict.park));
    return false;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#runtime.after(delayMs, resolve);
      this.#cancelPause = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#cancelPause();
    });
  }
}
