import type { Message } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { DeadLetterRefusal } from "../errors.ts";
import type { Processor } from "../inbox/processor.ts";
import type { Runtime } from "../runtime.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import { DeadLetterAudit, type RecordedAction } from "./audit.ts";
import type { DeadLetter } from "./dead-letter.ts";
import { type DeadLetterFilter, DeadLetterQueries, type DeadLetterSummary } from "./queries.ts";
import type { BlockedMessageReplayer } from "./release.ts";
import { DeadLetterReplays, type ReplayResult } from "./replay.ts";
import type { DeadLetterStore } from "./store.ts";

export { DeadLetterRefusal } from "../errors.ts";
export { MAX_REPLAYS, type ReplayResult } from "./replay.ts";

/** Letters that one request replays. */
export const MAX_BULK = 1_000;

/** A letter with all that is known of it. */
export interface DeadLetterDetails extends DeadLetter {
  /** What its bytes mean, as edited: a message, or what is wrong with them. */
  readonly decoded: { readonly message: Message } | { readonly problem: string };
  /** How many messages stand in its line, itself included. */
  readonly lineLength: number;
  readonly actions: readonly RecordedAction[];
}

/** What operators do with dead letters: look at them, mend them, send them on their way or throw them away. */
export class DeadLetterAdmin {
  readonly #letters: DeadLetterStore;
  readonly #queries: DeadLetterQueries;
  readonly #log: DeadLetterAudit;
  readonly #replays: DeadLetterReplays;
  readonly #processor: Processor;
  readonly #unitOfWork: UnitOfWork;
  readonly #releaser: BlockedMessageReplayer;
  readonly #runtime: Runtime;

  constructor(options: {
    database: ServiceDatabase;
    letters: DeadLetterStore;
    processor: Processor;
    unitOfWork: UnitOfWork;
    releaser: BlockedMessageReplayer;
    runtime: Runtime;
  }) {
    this.#letters = options.letters;
    this.#queries = new DeadLetterQueries(options.database);
    this.#log = new DeadLetterAudit(options.database);
    this.#replays = new DeadLetterReplays({ ...options, log: this.#log });
    this.#processor = options.processor;
    this.#unitOfWork = options.unitOfWork;
    this.#releaser = options.releaser;
    this.#runtime = options.runtime;
  }

  /** Letters that match, oldest first. */
  list(filter: DeadLetterFilter): DeadLetter[] {
    return this.#queries.list(filter, this.#runtime.now());
  }

  /** The same without their bytes. */
  summaries(filter: DeadLetterFilter): DeadLetterSummary[] {
    return this.#queries.summaries(filter, this.#runtime.now());
  }

  /**
   * Which letters to replay when all that match shall be: the oldest of those that something is wrong with.
   * Those that only wait behind others follow these by themselves; they are meant only where the filter says so.
   *
   * @returns up to `filter.limit` ids, and how many more there are
   */
  candidates(filter: DeadLetterFilter): { readonly ids: number[]; readonly left: number } {
    return this.#queries.candidates(filter, this.#runtime.now());
  }

  /** @throws DeadLetterRefusal not-found */
  show(id: number): DeadLetterDetails {
    const letter = this.#letters.existing(id);
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
      const letter = this.#letters.existing(id);
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

  /** Throws a letter away; those behind it go on right afterwards. @throws DeadLetterRefusal not-found */
  async discard(id: number, reason: string, actor: string): Promise<void> {
    await this.#unitOfWork.run((transaction) => {
      const { topic, partition, offset, key } = this.#letters.existing(id);
      this.#letters.remove(id);
      const what = `${topic}/${partition}/${offset} key ${key ?? "(none)"}`;
      this.#log.add(id, "discard", actor, `${reason} [${what}]`, transaction);
    });
    this.#releaser.wake();
  }

  /**
   * Replays letters, each through the inbox and as one effect. One refusal or failure does not keep the others
   * from being tried. Those behind them follow in order, right afterwards: there may be many, so nobody is made
   * to wait for them here.
   *
   * @param ids the first MAX_BULK of them are replayed
   * @param dryRun says what would be tried, and changes nothing
   * @throws StorageError when the disk refuses; what was replayed until then stays replayed
   */
  async replay(ids: readonly number[], actor: string, dryRun = false): Promise<ReplayResult[]> {
    const results: ReplayResult[] = [];
    try {
      for (const id of ids.slice(0, MAX_BULK)) {
        results.push(dryRun ? this.#replays.wouldReplay(id) : await this.#replays.replay(id, actor));
      }
    } finally {
      if (!dryRun) this.#releaser.wake();
    }
    return results;
  }

  close(): void {
    this.#log.close();
  }
}
