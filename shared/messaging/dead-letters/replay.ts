import { DeadLetterRefusal, DomainError, errorText, StorageError } from "../errors.ts";
import type { Processor } from "../inbox/processor.ts";
import type { Transaction } from "../transaction.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { DeadLetterAudit } from "./audit.ts";
import type { DeadLetter } from "./dead-letter.ts";
import type { DeadLetterStore } from "./store.ts";

/** A message that was replayed so often needs an edit in the code, not another replay. */
export const MAX_REPLAYS = 10;

/** What a replay did, or would do. */
export interface ReplayResult {
  readonly id: number;
  readonly outcome: "handled" | "duplicate" | "skipped" | "failed" | "refused" | "would-replay";
  readonly detail?: string;
  /** Why it was refused, for programs. */
  readonly refusal?: DeadLetterRefusal["code"];
}

/** Replays dead letters one by one: each through the inbox, as one effect, and written down. */
export class DeadLetterReplays {
  readonly #letters: DeadLetterStore;
  readonly #log: DeadLetterAudit;
  readonly #processor: Processor;
  readonly #unitOfWork: UnitOfWork;

  constructor(options: {
    letters: DeadLetterStore;
    log: DeadLetterAudit;
    processor: Processor;
    unitOfWork: UnitOfWork;
  }) {
    this.#letters = options.letters;
    this.#log = options.log;
    this.#processor = options.processor;
    this.#unitOfWork = options.unitOfWork;
  }

  /** @throws StorageError when the disk refuses, with nothing changed but the count of replays */
  async replay(id: number, actor: string): Promise<ReplayResult> {
    try {
      // In a unit of work of its own: it counts even if the message takes the process down with it.
      await this.#unitOfWork.run(() => this.#letters.countReplay(this.#replayable(id).id));
      return await this.#unitOfWork.run((transaction) => this.#attempt(id, actor, transaction));
    } catch (error) {
      if (error instanceof DeadLetterRefusal) return refused(id, error);
      if (error instanceof StorageError) throw error;
      // What the handler began was undone.
      await this.#unitOfWork.run((transaction) => {
        const letter = this.#letters.existing(id);
        const reason = error instanceof DomainError ? "domain" : "retries-exhausted";
        this.#fail(letter, reason, error, actor, transaction);
      });
      return { id, outcome: "failed", detail: errorText(error) };
    }
  }

  /** What `replay` would try, and changes nothing. */
  wouldReplay(id: number): ReplayResult {
    try {
      const letter = this.#replayable(id);
      const decoded = this.#processor.decode(letter.edited ?? letter.value);
      if (decoded.status === "rejected") return { id, outcome: "failed", detail: decoded.detail };
      const detail = `${decoded.message.type}, ${this.#letters.lineLength(letter)} in its line`;
      return { id, outcome: "would-replay", detail };
    } catch (error) {
      if (!(error instanceof DeadLetterRefusal)) throw error;
      return refused(id, error);
    }
  }

  #attempt(id: number, actor: string, transaction: Transaction): ReplayResult {
    const letter = this.#letters.existing(id);
    const outcome = this.#processor.process(letter.edited ?? letter.value, transaction);
    if (outcome.status === "rejected") {
      this.#fail(letter, outcome.reason, outcome.detail, actor, transaction);
      return { id, outcome: "failed", detail: outcome.detail };
    }
    this.#letters.remove(id);
    this.#log.add(id, "replay", actor, outcome.status, transaction);
    return { id, outcome: outcome.status };
  }

  #fail(
    letter: DeadLetter,
    reason: DeadLetter["reason"],
    error: unknown,
    actor: string,
    transaction: Transaction,
  ): void {
    const text = errorText(error);
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
    this.#letters.fail(letter.id, { reason, error: text, ...stack, attempts: letter.attempts + 1 });
    this.#log.add(letter.id, "replay", actor, `failed: ${text}`, transaction);
  }

  #replayable(id: number): DeadLetter {
    const letter = this.#letters.existing(id);
    const head = this.#letters.headOf(letter);
    if (head !== id) throw new DeadLetterRefusal("blocked", `${id} waits behind ${head}`);
    if (letter.replays >= MAX_REPLAYS) {
      throw new DeadLetterRefusal("replayed-too-often", `${id} was replayed ${letter.replays} times`);
    }
    return letter;
  }
}

function refused(id: number, { message, code }: DeadLetterRefusal): ReplayResult {
  return { id, outcome: "refused", detail: message, refusal: code };
}
