/** The segments of one partition, oldest first, at least one. The last is active (appended to), the others are closed. */
import type { Segment } from "./segment.ts";

export class Segments {
  #all: [Segment, ...Segment[]];

  constructor(all: [Segment, ...Segment[]]) {
    this.#all = all;
  }

  get all(): readonly Segment[] {
    return this.#all;
  }

  get first(): Segment {
    return this.#all[0];
  }

  get active(): Segment {
    return this.#all.at(-1) ?? this.#all[0];
  }

  get closed(): Segment[] {
    return this.#all.slice(0, -1);
  }

  /** As `Segment.read`, from the first segment with a result; empty at the end of the log. */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer> {
    // Looked up again after each await, because compaction and retention replace segments concurrently.
    for (let segment = this.#all[this.#indexOf(offset)]; segment; segment = this.after(segment)) {
      const found = await segment.read(offset, maxBytes, atLeastOne);
      if (found) return found;
    }
    return Buffer.alloc(0);
  }

  /** The current successor; the given segment may have been removed. */
  after({ baseOffset }: Segment): Segment | undefined {
    return this.#all.find((segment) => segment.baseOffset > baseOffset);
  }

  /** The stored bytes from `offset` on, rounded up to an index interval. */
  bytesFrom(offset: number): number {
    const from = this.#all.slice(this.#indexOf(offset));
    return from.reduce((sum, segment) => sum + segment.bytesFrom(offset), 0);
  }

  push(segment: Segment): void {
    this.#all.push(segment);
  }

  /** Replaces consecutive segments with `by`. The caller removes their files. */
  replace(replaced: readonly Segment[], by: readonly Segment[]): void {
    const [oldest] = replaced;
    const at = oldest ? this.#all.indexOf(oldest) : -1;
    const [first, ...others] = this.#all.toSpliced(at, replaced.length, ...by);
    if (at < 0 || !first) throw new Error("the active segment cannot be removed");
    this.#all = [first, ...others];
  }

  /** The index of the last segment with a base offset at or below `offset`. */
  #indexOf(offset: number): number {
    return Math.max(
      0,
      this.#all.findLastIndex((segment) => segment.baseOffset <= offset),
    );
  }
}
