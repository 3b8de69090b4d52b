import type { ServiceDatabase } from "@distributed-messaging/messaging";

/** Neighbours in line that one row of a level speaks for; each level speaks for so many rows of the one below. */
const WIDTH = 128;
/** Level 0 is the line itself. With two more, a row of the highest speaks for 16,384 places in line. */
const LEVELS = [2, 1] as const;

/**
 * Who waits for how much of each product, in order of arrival, as a tree of maxima: the first in line who asks for
 * more than a given quantity is found in `LEVELS.length + 1` look-ups, each among at most WIDTH neighbours (at the
 * highest level, among one row for each 16,384 places between the first and the last who waits).
 *
 * Plain prepared statements: one restock may serve thousands.
 */
export class Peaks {
  readonly #statements;

  constructor({ sql }: ServiceDatabase) {
    this.#statements = {
      insert: sql.prepare("INSERT INTO waiting_lines (product_id, arrival, quantity) VALUES (?, ?, ?)"),
      remove: sql.prepare<{ quantity: number }, [string, number]>(
        "DELETE FROM waiting_lines WHERE product_id = ? AND arrival = ? RETURNING quantity",
      ),
      raise: sql.prepare(
        `INSERT INTO waiting_peaks (product_id, level, block, quantity) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET quantity = excluded.quantity WHERE excluded.quantity > quantity`,
      ),
      peak: sql.prepare<{ quantity: number }, [string, number, number]>(
        "SELECT quantity FROM waiting_peaks WHERE product_id = ? AND level = ? AND block = ?",
      ),
      lower: sql.prepare(
        "UPDATE waiting_peaks SET quantity = ? WHERE product_id = ? AND level = ? AND block = ?",
      ),
      drop: sql.prepare("DELETE FROM waiting_peaks WHERE product_id = ? AND level = ? AND block = ?"),
      highestOfLines: sql.prepare<{ quantity: number | null }, [string, number, number]>(
        "SELECT max(quantity) AS quantity FROM waiting_lines WHERE product_id = ? AND arrival BETWEEN ? AND ?",
      ),
      highestOfBlocks: sql.prepare<{ quantity: number | null }, [string, number, number, number]>(
        `SELECT max(quantity) AS quantity FROM waiting_peaks
         WHERE product_id = ? AND level = ? AND block BETWEEN ? AND ?`,
      ),
      firstLine: sql.prepare<{ arrival: number }, [string, number, number, number]>(
        `SELECT arrival FROM waiting_lines
         WHERE product_id = ? AND arrival BETWEEN ? AND ? AND quantity > ? ORDER BY arrival LIMIT 1`,
      ),
      firstBlock: sql.prepare<{ block: number }, [string, number, number, number, number]>(
        `SELECT block FROM waiting_peaks
         WHERE product_id = ? AND level = ? AND block BETWEEN ? AND ? AND quantity > ? ORDER BY block LIMIT 1`,
      ),
      clearLines: sql.prepare("DELETE FROM waiting_lines"),
      clearPeaks: sql.prepare("DELETE FROM waiting_peaks"),
    };
  }

  /** Only inside a transaction, like all that write. */
  add(productId: string, arrival: number, quantity: number): void {
    this.#statements.insert.run(productId, arrival, quantity);
    for (const level of LEVELS) {
      this.#statements.raise.run(productId, level, blockOf(arrival, level), quantity);
    }
  }

  remove(productId: string, arrival: number): void {
    const removed = this.#statements.remove.get(productId, arrival);
    if (removed === null) throw new Error(`nobody waits for ${productId} at ${arrival}`);
    for (const level of LEVELS.toReversed()) {
      const block = blockOf(arrival, level);
      // It was not the highest of its neighbours: nothing above changes either.
      if (this.#statements.peak.get(productId, level, block)?.quantity !== removed.quantity) return;
      const highest = this.#highestBelow(productId, level, block);
      if (highest === removed.quantity) return;
      if (highest === null) this.#statements.drop.run(productId, level, block);
      else this.#statements.lower.run(highest, productId, level, block);
    }
  }

  /** The arrival of the first who asks for more than so much; undefined when nobody does. */
  firstAskingForMore(productId: string, than: number): number | undefined {
    let [from, to] = [0, Number.MAX_SAFE_INTEGER];
    for (const level of LEVELS) {
      const found = this.#statements.firstBlock.get(productId, level, from, to, than);
      if (found === null) return undefined;
      [from, to] = childrenOf(found.block);
    }
    return this.#statements.firstLine.get(productId, from, to, than)?.arrival;
  }

  clear(): void {
    this.#statements.clearLines.run();
    this.#statements.clearPeaks.run();
  }

  #highestBelow(productId: string, level: number, block: number): number | null {
    const [from, to] = childrenOf(block);
    const highest =
      level === 1
        ? this.#statements.highestOfLines.get(productId, from, to)
        : this.#statements.highestOfBlocks.get(productId, level - 1, from, to);
    return highest?.quantity ?? null;
  }
}

function blockOf(arrival: number, level: number): number {
  return Math.floor(arrival / WIDTH ** level);
}

function childrenOf(block: number): [number, number] {
  return [block * WIDTH, block * WIDTH + WIDTH - 1];
}
