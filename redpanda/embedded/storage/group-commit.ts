/**
 * Group commit: all items that arrive during one commit share the next one.
 *
 * There is no timer. A single item is committed at once; under load the groups grow with the duration of an fsync.
 */
export class GroupCommit<Item> {
  #queue: Waiting<Item>[] = [];
  #running: Promise<void> | undefined;

  /** @param commit makes the items durable, in order; its error rejects every item of the group. */
  constructor(private readonly commit: (items: Item[]) => Promise<void>) {}

  /** Resolves when the item is durable; rejects when its group failed. Items are committed in the order of the calls. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Rejects all queued items, for a failed commit that the queued items depend on. */
  rejectWaiting(error: unknown): void {
    const rejected = this.#queue;
    this.#queue = [];
    for (const { reject } of rejected) reject(error);
  }

  /** Resolves when no item is queued or being committed. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // One microtask turn, so that requests from one socket read form one group.
    await undefined;
    while (this.#queue.length > 0) {
      const group = this.#queue;
      this.#queue = [];
      try {
        await this.commit(group.map(({ item }) => item));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#running = undefined;
  }
}

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}
