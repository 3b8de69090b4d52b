/**
 * Group commit: everything that arrives while one commit runs shares the next one.
 *
 * There is no timer: the size of a group is what the disk's own pace makes it. A lone item is committed at once, and
 * under load the cost of an fsync is divided among all that waited for it.
 */
export class GroupCommit<Item> {
  #queue: Waiting<Item>[] = [];
  #running: Promise<void> | undefined;

  /** @param commit makes the items durable, in order; what it throws is what every item of the group is refused with. */
  constructor(private readonly commit: (items: Item[]) => Promise<void>) {}

  /** Resolves once the item is durable; rejects when its group failed. Items are committed in the order of the calls. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Refuses all that waits for a later group: used when what runs now failed and the rest builds on it. */
  rejectWaiting(error: unknown): void {
    const refused = this.#queue;
    this.#queue = [];
    for (const { reject } of refused) reject(error);
  }

  /** Resolves when nothing waits or runs. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // One turn of the microtask queue, so that requests read from the socket together make one group.
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
