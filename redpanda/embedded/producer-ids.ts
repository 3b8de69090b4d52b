/** Assigns the ids of idempotent producers, each once per data directory. */
import type { Journal } from "./storage/journal.ts";

/** Ids are reserved durably in blocks, so most requests need no fsync. A restart skips the rest of a block. */
const BLOCK = 1000;
const KEY = "producer-ids-reserved";

export class ProducerIds {
  #next: number;
  #reserved: number;
  #reserving: Promise<void> | undefined;

  constructor(private readonly journal: Journal) {
    this.#next = Number(journal.get(KEY) ?? 0);
    this.#reserved = this.#next;
  }

  async next(): Promise<number> {
    while (this.#next >= this.#reserved) {
      this.#reserving ??= this.#reserve().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    return this.#next++;
  }

  async #reserve(): Promise<void> {
    const end = this.#reserved + BLOCK;
    await this.journal.write([[KEY, end]]);
    this.#reserved = end;
  }
}
