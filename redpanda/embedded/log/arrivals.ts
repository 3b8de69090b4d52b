/**
 * Keeps the order in which batches arrived at a log while large ones are validated. A batch that needs no waiting, and has
 * none before it, is appended at once.
 */
export class Arrivals {
  #last: Promise<unknown> | undefined;

  /**
   * @param validated undefined when the batch is valid already
   * @param append called after `validated` and after the appends of all earlier calls; not when `validated` rejects
   */
  add<Result>(validated: Promise<void> | undefined, append: () => Result): Result | Promise<Result> {
    if (!validated && !this.#last) return append();
    const before = this.#last;
    const done = Promise.allSettled([before, validated]).then(async () => {
      await validated;
      return append();
    });
    const settled: Promise<unknown> = done.catch(() => {});
    this.#last = settled;
    void settled.then(() => {
      if (this.#last === settled) this.#last = undefined;
    });
    return done;
  }
}
