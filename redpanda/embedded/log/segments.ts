/** The segments of one partition, oldest first, never none: the last one is appended to, the others are closed. */
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

  /** The one that is appended to. */
  get active(): Segment {
    return this.#all.at(-1) ?? this.#all[0];
  }

  get closed(): Segment[] {
    return this.#all.slice(0, -1);
  }

  /** As `Segment.read`, over as many segments as it takes to find something; empty at the end. */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer> {
    // Looked up anew after every wait, because compaction and retention replace segments meanwhile.
    for (let segment = this.#all[this.#indexOf(offset)]; segment; segment = this.after(segment)) {
      const found = await segment.read(offset, maxBytes, atLeastOne);
      if (found) return found;
    }
    return Buffer.alloc(0);
  }

  /** The next one by now; `segment` itself may be gone. */
  after({ baseOffset }: Segment): Segment | undefined {
    return this.#all.find((segment) => segment.baseOffset > baseOffset);
  }

  /** The bytes stored from `offset` on, rounded up to an index interval. */
  bytesFrom(offset: number): number {
    const from = this.#all.slice(this.#indexOf(offset));
    return from.reduce((sum, segment) => sum + segment.bytesFrom(offset), 0);
  }

  push(segment: Segment): void {
    this.#all.push(segment);
  }

  /** Puts `by` in the place of consecutive segments; what becomes of their files is the caller's business. */
  replace(replaced: readonly Segment[], by: readonly Segment[]): void {
    const [oldest] = replaced;
    const at = oldest ? this.#all.indexOf(oldest) : -1;
    const [first, ...others] = this.#all.toSpliced(at, replaced.length, ...by);
    if (at < 0 || !first) throw new Error("a log keeps at least the segment that is appended to");
    this.#all = [first, ...others];
  }

  /** The last segment that begins at or before `offset`. */
  #indexOf(offset: number): number {
    return Math.max(
      0,
      this.#all.findLastIndex((segment) => segment.baseOffset <= offset),
    );
  }
}
