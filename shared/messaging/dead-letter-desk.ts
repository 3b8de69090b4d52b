import type { Message } from "@distributed-messaging/contracts";
import type { ServiceDatabase } from "./database.ts";
import { DeadLetterLog, type RecordedAction } from "./dead-letter-log.ts";
import { type DeadLetterFilter, DeadLetterQueries } from "./dead-letter-queries.ts";
import type { DeadLetter, DeadLetters } from "./dead-letters.ts";
import { DomainError } from "./errors.ts";
import type { Processor } from "./processor.ts";
import type { Releaser } from "./releaser.ts";
import type { Runtime } from "./runtime.ts";
import type { Transaction } from "./transaction.ts";
import type { UnitOfWork } from "./unit-of-work.ts";

/** A message that was replayed so often needs an edit in the code, not another replay. */
export const MAX_REPLAYS = 10;
/** Letters that one request replays. */
export const MAX_BULK = 1_000;

/** What an operator asked for cannot be done; the text says why. Nothing changed. */
export class DeadLetterRefusal extends Error {
  override readonly name = "DeadLetterRefusal";
  readonly code: "not-found" | "waits-behind" | "replayed-too-often" | "edit-invalid";

  constructor(code: DeadLetterRefusal["code"], text: string) {
    super(text);
    this.code = code;
  }
}

/** A letter with all that is known of it. */
export interface DeadLetterDetails extends DeadLetter {
  /** What its bytes mean, as edited: a message, or what is wrong with them. */
  readonly decoded: { readonly message: Message } | { readonly problem: string };
  /** How many messages stand in its line, itself included. */
  readonly lineLength: number;
  readonly actions: readonly RecordedAction[];
}

/** What a replay did, or would do. */
export interface ReplayResult {
  readonly id: number;
  readonly outcome: "handled" | "duplicate" | "skipped" | "failed" | "refused" | "would-replay";
  readonly detail?: string;
}

/** What operators do with dead letters: look at them, mend them, send them on their way or throw them away. */
export class DeadLetterDesk {
  readonly #letters: DeadLetters;
  readonly #queries: DeadLetterQueries;
  readonly #log: DeadLetterLog;
  readonly #processor: Processor;
  readonly #unitOfWork: UnitOfWork;
  readonly #releaser: Releaser;
  readonly #runtime: Runtime;

  constructor(options: {
    database: ServiceDatabase;
    letters: DeadLetters;
    processor: Processor;
    unitOfWork: UnitOfWork;
    releaser: Releaser;
    runtime: Runtime;
  }) {
    this.#letters = options.letters;
    this.#queries = new DeadLetterQueries(options.database);
    this.#log = new DeadLetterLog(options.database);
    this.#processor = options.processor;
    this.#unitOfWork = options.unitOfWork;
    this.#releaser = options.releaser;
    this.#runtime = options.runtime;
  }

  /** Letters that match, oldest first. */
  list(filter: DeadLetterFilter): DeadLetter[] {
    return this.#queries.list(filter, this.#runtime.now());
  }

  /** @throws DeadLetterRefusal not-found */
  show(id: number): DeadLetterDetails {
    const letter = this.#existing(id);
    const decoded = this.#processor.decode(letter.edited ?? letter.value);
    return {
      ...letter,
      decoded: decoded.status === "decoded" ? { message: decoded.message } : { problem: decoded.detail },
      lineLength: this.#letters.lineLength(letter),
      actions: this.#log.of(id),
    };
  }

  /**
   * Puts other bytes in the place of those that came, which are kept beside them. They must make a valid
   * message of the same key: an edit mends a message, it does not move it to another line.
   *
   * @throws DeadLetterRefusal not-found, edit-invalid
   */
  edit(id: number, value: Uint8Array, actor: string): Promise<void> {
    return this.#unitOfWork.run((transaction) => {
      const letter = this.#existing(id);
      const decoded = this.#processor.decode(value);
      if (decoded.status === "rejected") throw new DeadLetterRefusal("edit-invalid", decoded.detail);
      if (letter.key !== null && decoded.message.subject !== letter.key) {
        throw new DeadLetterRefusal("edit-invalid", `its subject must stay ${letter.key}`);
      }
      if (decoded.definition.topic.name !== letter.topic) {
        throw new DeadLetterRefusal(
          "edit-invalid",
          `${decoded.message.type} does not travel on ${letter.topic}`,
        );
      }
      this.#letters.edit(id, value);
      this.#log.add(id, "edit", actor, `${value.byteLength} bytes`, transaction);
    });
  }

  /** Throws a letter away; those behind it go on. @throws DeadLetterRefusal not-found */
  async discard(id: number, reason: string, actor: string): Promise<void> {
    await this.#unitOfWork.run((transaction) => {
      const { topic, partition, offset, key } = this.#existing(id);
      this.#letters.remove(id);
      const what = `${topic}/${partition}/${offset} key ${key ?? "(none)"}`;
      this.#log.add(id, "discard", actor, `${reason} [${what}]`, transaction);
    });
    await this.#releaser.release();
  }

  /**
   * Replays letters, each through the inbox and as one effect, and lets those behind them follow in order.
   * One refusal or failure does not keep the others from being tried.
   *
   * @param dryRun says what would be tried, and changes nothing
   */
  async replay(ids: readonly number[], actor: string, dryRun = false): Promise<ReplayResult[]> {
    const results: ReplayResult[] = [];
    for (const id of ids.slice(0, MAX_BULK)) {
      results.push(dryRun ? this.#wouldReplay(id) : await this.#replayOne(id, actor));
    }
    if (!dryRun) await this.#releaser.release();
    return results;
  }

  close(): void {
    this.#log.close();
  }

  async #replayOne(id: number, actor: string): Promise<ReplayResult> {
    try {
      return await this.#unitOfWork.run((transaction) => this.#attempt(id, actor, transaction));
    } catch (error) {
      if (error instanceof DeadLetterRefusal) return { id, outcome: "refused", detail: error.message };
      // What the handler began was undone, and the count of the replay with it: both are written down now.
      await this.#unitOfWork.run((transaction) => {
        const letter = this.#existing(id);
        this.#letters.countReplay(id);
        const reason = error instanceof DomainError ? "domain" : "retries-exhausted";
        this.#fail(letter, reason, error, actor, transaction);
      });
      return { id, outcome: "failed", detail: error instanceof Error ? error.message : String(error) };
    }
  }

  #attempt(id: number, actor: string, transaction: Transaction): ReplayResult {
    const letter = this.#replayable(id);
    this.#letters.countReplay(id);
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
    const text = error instanceof Error ? error.message : String(error);
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
    this.#letters.fail(letter.id, { reason, error: text, ...stack, attempts: letter.attempts + 1 });
    this.#log.add(letter.id, "replay", actor, `failed: ${text}`, transaction);
  }

  #wouldReplay(id: number): ReplayResult {
    try {
      const letter = this.#replayable(id);
      const decoded = this.#processor.decode(letter.edited ?? letter.value);
      if (decoded.status === "rejected") return { id, outcome: "failed", detail: decoded.detail };
      const { type } = decoded.message;
      return {
        id,
        outcome: "would-replay",
        detail: `${type}, ${this.#letters.lineLength(letter)} in its line`,
      };
    } catch (error) {
      if (!(error instanceof DeadLetterRefusal)) throw error;
      return { id, outcome: "refused", detail: error.message };
    }
  }

  #replayable(id: number): DeadLetter {
    const letter = this.#existing(id);
    const head = this.#letters.headOf(letter);
    if (head !== id) throw new DeadLetterRefusal("waits-behind", `${id} waits behind ${head}`);
    if (letter.replays >= MAX_REPLAYS) {
      throw new DeadLetterRefusal("replayed-too-often", `${id} was replayed ${letter.replays} times`);
    }
    return letter;
  }

  #existing(id: number): DeadLetter {
    const letter = this.#letters.find(id);
    if (letter === undefined) throw new DeadLetterRefusal("not-found", `there is no dead letter ${id}`);
    return letter;
  }
}
