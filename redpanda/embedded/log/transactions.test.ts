import { expect, test } from "bun:test";
import { batchOf } from "../testing/batches.ts";
import { markerBatch, type Outcome } from "./markers.ts";
import { LogTransactions } from "./transactions.ts";

const EVERYTHING = Number.POSITIVE_INFINITY;

/** A log in which each batch is one record. */
class Log {
  readonly transactions = new LogTransactions();
  end = 0;

  /** Writes a record of each producer. */
  write(producers: readonly number[], durableEnd = EVERYTHING): this {
    for (const producerId of producers) {
      const batch = batchOf(["x"], { producerId, epoch: 0, sequence: 0, transactional: true });
      batch.assign(this.end++);
      this.transactions.record(batch, durableEnd);
    }
    return this;
  }

  finish(producerId: number, outcome: Outcome, durableEnd = EVERYTHING): this {
    const batch = markerBatch({ producerId, epoch: 0, outcome });
    batch.assign(this.end++);
    this.transactions.record(batch, durableEnd);
    return this;
  }

  aborted(from = 0, to = this.end): string[] {
    return this.transactions
      .aborted(from, to)
      .map(({ producerId, firstOffset, lastOffset }) => `${producerId}:${firstOffset}-${lastOffset}`);
  }
}

test("the first unstable offset is that of the first open transaction", () => {
  const log = new Log();
  expect(log.transactions.firstUnstable(EVERYTHING)).toBeUndefined();
  log.write([1, 2, 1]);
  expect(log.transactions.firstUnstable(EVERYTHING)).toBe(0);
  log.finish(1, "commit");
  expect(log.transactions.firstUnstable(EVERYTHING)).toBe(1);
  log.write([1]).finish(2, "abort");
  expect(log.transactions.firstUnstable(EVERYTHING)).toBe(4);
  log.finish(1, "commit");
  expect(log.transactions.firstUnstable(EVERYTHING)).toBeUndefined();
});

test("a transaction is unstable until its marker is on disk", () => {
  const log = new Log().write([1], 0).finish(1, "abort", 1);
  expect(log.transactions.firstUnstable(1)).toBe(0);
  expect(log.aborted()).toEqual([]);
  expect(log.transactions.firstUnstable(2)).toBeUndefined();
  expect(log.aborted()).toEqual(["1:0-1"]);
});

test("a marker without records changes nothing", () => {
  const log = new Log().finish(1, "abort");
  expect(log.aborted()).toEqual([]);
  expect(log.transactions.firstUnstable(EVERYTHING)).toBeUndefined();
});

test("an undone marker opens the transaction again, undone records do not", () => {
  const log = new Log().write([1], 1).finish(1, "abort", 1).write([2], 1);
  log.transactions.undoFrom(1);
  expect([log.transactions.isOpen(1), log.transactions.isOpen(2)]).toEqual([true, false]);
  expect(log.transactions.firstUnstable(1)).toBe(0);
  log.end = 1;
  log.finish(1, "commit");
  expect(log.transactions.firstUnstable(EVERYTHING)).toBeUndefined();
  expect(log.aborted()).toEqual([]);
});

test("aborted transactions are found by the offsets between which they are", () => {
  // 0: 1, 1: 2, 2: 3, 3: abort 2, 4: commit 3, 5: abort 1, 6: 2, 7: abort 2
  const log = new Log().write([1, 2, 3]).finish(2, "abort").finish(3, "commit").finish(1, "abort");
  log.write([2]).finish(2, "abort");
  expect(log.aborted()).toEqual(["2:1-3", "1:0-5", "2:6-7"]);
  expect(log.aborted(4)).toEqual(["1:0-5", "2:6-7"]);
  expect(log.aborted(0, 1)).toEqual(["1:0-5"]);
  expect(log.aborted(6)).toEqual(["2:6-7"]);
  expect(log.aborted(0, 6)).toEqual(["2:1-3", "1:0-5"]);
  expect(log.aborted(8, 9)).toEqual([]);
});

test("the transactions found are those of a complete search, for any interleaving", () => {
  let seed = 7;
  const random = (bound: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * bound);
  };
  for (let round = 0; round < 50; round++) {
    const log = new Log();
    for (let step = 0; step < 40; step++) {
      const producer = random(4);
      if (random(3) > 0) log.write([producer]);
      else log.finish(producer, random(2) === 0 ? "abort" : "commit");
    }
    const all = log.aborted(0, log.end);
    for (let from = 0; from < log.end; from += 3) {
      for (let to = from + 1; to <= log.end; to += 4) {
        const overlapping = all.filter((text) => {
          const [first = 0, last = 0] = (text.split(":")[1] ?? "").split("-").map(Number);
          return last >= from && first < to;
        });
        expect(log.aborted(from, to)).toEqual(overlapping);
      }
    }
  }
});

test("what ended below the start of the log, or lost its marker, is forgotten", () => {
  const log = new Log();
  for (const producer of [1, 2, 3]) log.write([producer]).finish(producer, "abort");
  log.transactions.truncate(2);
  expect(log.aborted()).toEqual(["2:2-3", "3:4-5"]);
  log.transactions.forget(new Set([3]));
  expect(log.aborted()).toEqual(["3:4-5"]);
});
