import type { Logger } from "../../runtime.ts";
import { type KafkaSettings, within } from "./client.ts";
import { type OffsetRange, ReaderSession, type StoredRecord } from "./reader-session.ts";

export type { OffsetRange, StoredRecord } from "./reader-session.ts";

/** Joining a group takes a cluster up to three seconds on purpose, in case that more members come. */
const READ_TIMEOUT_MS = 12_000;
/** One that has joined already has no more to do than to read. */
const REUSED_TIMEOUT_MS = 3_000;
/** Unused for so long, it leaves the broker alone. */
const IDLE_MS = 30_000;
/**
 * Reads given stretches of topics, for people who look. kafkajs can read as a member of a group only: this one is
 * in a group of its own, with all partitions at rest except those that are being read. One stretch is read after
 * the other.
 */
export class KafkaReader {
  readonly #settings: KafkaSettings;
  readonly #topics: readonly string[];
  readonly #log: Logger;
  #life: ReaderSession | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(settings: KafkaSettings, topics: readonly string[], log: Logger) {
    this.#settings = settings;
    this.#topics = topics;
    this.#log = log;
  }

  /** What stands there, partition by partition. @throws when the broker does not give it in time */
  read(ranges: readonly OffsetRange[]): Promise<StoredRecord[]> {
    const wanted = ranges.filter(({ from, to }) => to > from);
    if (wanted.length === 0) return Promise.resolve([]);
    const turn = this.#turn.then(() => this.#read(wanted));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const life = this.#life;
    this.#life = undefined;
    await life?.end();
  }

  async #read(ranges: readonly OffsetRange[]): Promise<StoredRecord[]> {
    clearTimeout(this.#idle);
    try {
      if (this.#life !== undefined) {
        // The broker may have been away while nothing was read, and this one be of no more use: then a fresh one is.
        const before = await this.#attempt(this.#life, ranges, REUSED_TIMEOUT_MS).catch(() => undefined);
        if (before !== undefined) return before;
      }
      this.#life = new ReaderSession(this.#settings, this.#topics, this.#log);
      return await this.#attempt(this.#life, ranges, READ_TIMEOUT_MS);
    } finally {
      this.#idle = setTimeout(() => void this.close(), IDLE_MS);
      // Whoever only looked must not keep the process alive.
      this.#idle.unref();
    }
  }

  async #attempt(
    life: ReaderSession,
    ranges: readonly OffsetRange[],
    limitMs: number,
  ): Promise<StoredRecord[]> {
    try {
      return await within(limitMs, "reading from the broker", life.read(ranges));
    } catch (error) {
      this.#life = undefined;
      life.abandon();
      throw error;
    }
  }
}
