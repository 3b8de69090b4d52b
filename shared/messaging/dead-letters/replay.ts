import { isLogged } from "../errors.ts";
import type { CrashGuard } from "../inbox/crash-guard.ts";
import { type Attempt, type Decision, decide, type RetryPolicy } from "../inbox/decision.ts";
import type { Inbox } from "../inbox/inbox.ts";
import type { MessageOutcome, Observed } from "../observer.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import { type Logger, type Runtime, STORAGE_PAUSE_MS } from "../runtime.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import { asEdited, type BlockedKey, type DeadLetter, type DeadLetterStore } from "./store.ts";

/** Messages that an older version kept and that are looked at together. */
const SLICE = 100;

/** Records what became of a dead letter, in the transaction that it happens in. */
type Audit = (detail: string, transaction: Transaction) => void;

/**
 * Handles dead letters again: those that an operator replays, and those that were blocked by one that is gone. Each
 * goes through the inbox, and the transaction that handles it removes it; from that of the last one of a key on,
 * messages of the key that come from the broker are handled directly.
 */
export class DeadLetterReplayer {
  readonly #options;
  #running: Promise<void> | undefined;
  /** The topics and keys whose blocked messages may have to be released. */
  readonly #unblocked = new Map<string, BlockedKey>();
  /** Whether those that the last process left are among them. */
  #searched = false;
  #cancelPause: () => void = () => {};
  #stopped = false;
  readonly #waits: RepeatedFailure;

  constructor(options: {
    readonly deadLetters: DeadLetterStore;
    readonly inbox: Inbox;
    readonly unitOfWork: UnitOfWork;
    readonly crashGuard: CrashGuard;
    readonly retry: RetryPolicy;
    readonly observed: Observed;
    readonly runtime: Runtime;
    readonly log: Logger;
  }) {
    this.#options = options;
    this.#waits = new RepeatedFailure(options.runtime, options.log);
  }

  /**
   * Handles a dead letter once. It is the operator who retries: what fails stays parked.
   *
   * @param audit called in the transaction of the result
   * @returns undefined when there is no such dead letter
   * @throws StorageError when the disk fails
   */
  replay(id: number, audit: Audit): Promise<Decision | undefined> {
    return this.#attempt(id, false, audit);
  }

  /**
   * Releases the messages that nothing blocks any more, in the order of their key. One that fails is retried like a
   * message from the broker, and parked in its turn; the later ones of its key stay blocked. Called at the start, too,
   * because the last process may have ended in the middle of it.
   *
   * @param unblocked the topics and keys of dead letters that are gone
   */
  release(unblocked: Iterable<Pick<DeadLetter, "topic" | "key">> = []): void {
    this.#add(unblocked);
    if (this.#stopped || this.#running !== undefined) return;
    this.#running = this.#releaseAll().finally(() => {
      this.#running = undefined;
      if (this.#unblocked.size > 0) this.release();
    });
  }

  /** Resolves when no dead letter is being released any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPause();
    await this.#running;
  }

  #add(unblocked: Iterable<Pick<DeadLetter, "topic" | "key">>): void {
    for (const { topic, key } of unblocked) {
      // A topic's name has no slash.
      if (key !== null) this.#unblocked.set(`${topic}/${key}`, { topic, key });
    }
  }

  async #releaseAll(): Promise<void> {
    const { deadLetters, inbox, log } = this.#options;
    while (!this.#stopped) {
      try {
        if (!this.#searched) {
          await this.#releaseFromOlder();
          this.#add(deadLetters.unblockedKeys());
        }
        this.#searched = true;
        const [next] = this.#unblocked;
        if (next === undefined) return;
        const [name, blocked] = next;
        const letter = deadLetters.firstBlocked(blocked);
        if (letter === undefined) {
          this.#unblocked.delete(name);
          continue;
        }
        const decision = await this.#attempt(letter.id, true);
        this.#waits.over("", {}, "blocked messages go on");
        if (decision?.action !== "retry" && decision?.action !== "park") {
          this.#waits.over(name, { deadLetter: letter.id }, "a released message is handled");
          continue;
        }
        const { reason, error, attempts } = decision.failure;
        const fields = { deadLetter: letter.id, ...inbox.idsOf(letter), attempts };
        if (decision.action === "retry") this.#waits.failed(name, error, fields, "a released message failed");
        else {
          this.#waits.forget(name);
          log.error({ ...fields, reason, error }, "a released message failed, it is a dead letter again");
        }
        if (decision.action === "retry") await this.#pause(decision.delayMs);
      } catch (error) {
        if (!isLogged(error)) this.#waits.failed("", error, {}, "blocked messages wait: the disk fails");
        await this.#pause(STORAGE_PAUSE_MS);
      }
    }
  }

  /** What an older version kept for this one is handled now, each in its place among the messages of its key. */
  async #releaseFromOlder(): Promise<void> {
    const { deadLetters, inbox, unitOfWork, log } = this.#options;
    const isForThis = (letter: DeadLetter) => {
      const decoded = inbox.decode(asEdited(letter));
      return decoded.status === "decoded" || decoded.reason !== "newer-version";
    };
    let released = 0;
    let slice = deadLetters.waitingForNewer(0, SLICE);
    while (slice.length > 0 && !this.#stopped) {
      const ids = slice.filter(isForThis).map(({ id }) => id);
      await unitOfWork.run(() => {
        for (const id of ids) deadLetters.setToRelease(id);
      });
      released += ids.length;
      slice = deadLetters.waitingForNewer(slice.at(-1)?.id ?? 0, SLICE);
    }
    if (released > 0) log.info({ released }, "messages that an older version kept are released");
  }

  /** @param isReleased whether it is handled only while it is blocked, and retried by the kit */
  async #attempt(id: number, isReleased: boolean, audit: Audit = () => {}): Promise<Decision | undefined> {
    const { deadLetters, inbox, unitOfWork, crashGuard, observed, runtime } = this.#options;
    // Looked up in each transaction: it may be edited or discarded meanwhile.
    const find = () => {
      const letter = deadLetters.find(id);
      return isReleased && letter?.reason !== "blocked" ? undefined : letter;
    };
    const letter = find();
    if (letter === undefined) return undefined;
    let startedMs = runtime.monotonic();
    const settle = (decision: Decision, transaction: Transaction): Decision => {
      const seconds = (runtime.monotonic() - startedMs) / 1000;
      const outcome = outcomeOf(decision);
      if (outcome !== undefined) {
        transaction.afterCommit(() => observed.observer.processed(inbox.typeOf(letter), outcome, seconds));
      }
      if (decision.action === "ack") {
        deadLetters.remove(id);
        audit(decision.handled.status, transaction);
      } else if (decision.action !== "wait") {
        const { failure } = decision;
        // What the kit itself retries stays blocked.
        if (isReleased && decision.action === "retry") deadLetters.setAttempts(id, failure.attempts);
        else deadLetters.fail(id, failure);
        audit(`failed: ${failure.error}`, transaction);
      }
      crashGuard.end(letter, transaction);
      return decision;
    };
    const tries = letter.attempts + 1;
    try {
      const crashed = await this.#begin(letter);
      return await unitOfWork.run((transaction) => {
        const current = find();
        if (current === undefined) return undefined;
        if (crashed?.action === "park") return settle(crashed, transaction);
        startedMs = runtime.monotonic();
        const decision = this.#decide(inbox.handle(asEdited(current), transaction), tries);
        // A second copy of what was received has no effect, also if the edit has another id.
        if (decision.action === "ack" && current.edited !== null) inbox.claim(current, transaction);
        return settle(decision, transaction);
      });
    } catch (error) {
      const decision = this.#decide({ status: "failed", error }, tries);
      if (decision.action === "wait") throw error;
      return unitOfWork.run((transaction) =>
        find() === undefined ? undefined : settle(decision, transaction),
      );
    }
  }

  /** Records that a dead letter begins. @returns what is decided if earlier processes ended with it */
  async #begin(letter: DeadLetter): Promise<Decision | undefined> {
    const crashes = await this.#options.crashGuard.begin(letter);
    return crashes === 0
      ? undefined
      : this.#decide({ status: "crashed", crashes }, letter.attempts + crashes);
  }

  #decide(attempt: Attempt, tries: number): Decision {
    const { retry, runtime } = this.#options;
    return decide(attempt, tries, retry, () => runtime.random());
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.runtime.after(delayMs, resolve);
      this.#cancelPause = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#cancelPause();
    });
  }
}

function outcomeOf(decision: Decision): MessageOutcome | undefined {
  switch (decision.action) {
    case "ack":
      return decision.handled.status;
    case "park":
      return "parked";
    case "retry":
      return "failed";
    case "wait":
      return undefined;
    default:
      return decision satisfies never;
  }
}
