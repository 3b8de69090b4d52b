import { describe, expect, test } from "bun:test";
import { atRate, type Clock, underWay } from "./arrivals.ts";
import { Orders } from "./orders.ts";

/** A clock that passes only where it is told to. @param lateBy how much longer each sleep takes, in order */
class FakeClock implements Clock {
  ms = 1_000;
  readonly #lateBy: number[];

  constructor(...lateBy: number[]) {
    this.#lateBy = lateBy;
  }

  now(): number {
    return this.ms;
  }

  async sleep(ms: number): Promise<void> {
    this.ms += ms + (this.#lateBy.shift() ?? 0);
  }
}

describe("an open loop", () => {
  test("sends each order when it is due", async () => {
    const clock = new FakeClock();
    const sent: number[] = [];
    await atRate(clock, { count: 5, perSecond: 100 }, (_, dueMs) => {
      expect(clock.ms).toBe(dueMs);
      sent.push(dueMs);
    });
    expect(sent).toEqual([1_000, 1_010, 1_020, 1_030, 1_040]);
  });

  test("does not wait for an answer, and sends what it has missed at once, each with its own due time", async () => {
    const clock = new FakeClock(0, 25);
    const sent: [index: number, dueMs: number, atMs: number][] = [];
    await atRate(clock, { count: 6, perSecond: 100 }, (index, dueMs) => sent.push([index, dueMs, clock.ms]));
    expect(sent).toEqual([
      [0, 1_000, 1_000],
      [1, 1_010, 1_010],
      // The generator stood still: what was due meanwhile is late, and what follows is not.
      [2, 1_020, 1_045],
      [3, 1_030, 1_045],
      [4, 1_040, 1_045],
      [5, 1_050, 1_050],
    ]);
  });

  test("ends early when it is not to go on", async () => {
    const clock = new FakeClock();
    const sent: number[] = [];
    const goesOn = () => clock.ms < 1_020;
    await atRate(clock, { count: 5, perSecond: 100 }, (index) => sent.push(index), goesOn);
    expect(sent).toEqual([0, 1]);
  });

  test("omits nothing when the store stands still: every order that was due meanwhile has waited", async () => {
    const clock = new FakeClock();
    const orders = new Orders();
    const [stopsMs, goesOnMs] = [1_100, 2_100];
    await atRate(clock, { count: 200, perSecond: 100 }, (index, dueMs) => {
      const orderId = String(index);
      orders.send(orderId, dueMs, clock.ms, true);
      const isStopped = dueMs >= stopsMs && dueMs < goesOnMs;
      const atMs = isStopped ? goesOnMs : dueMs + 1;
      orders.answer(orderId, 202, atMs);
      orders.notify(orderId, "order.confirmed", atMs, atMs);
    });
    // Half of the orders were due while it stood still for a second: they waited for half a second on average.
    const { accepted, notified } = orders.outcome();
    expect(notified.p99).toBeGreaterThan(950);
    expect(notified.p50).toBeGreaterThanOrEqual(10);
    expect(accepted).toEqual(notified);
  });
});

describe("a closed loop", () => {
  test("has so many orders under way, and sends the next one when one ends", () => {
    const underWayNow = new Map<number, () => void>();
    underWay(new FakeClock(), { count: 10, atOnce: 3 }, (index, _, ended) => underWayNow.set(index, ended));
    const order: number[] = [];
    let most = 0;
    while (underWayNow.size > 0) {
      most = Math.max(most, underWayNow.size);
      const [index = -1, ended] = [...underWayNow].at(-1) ?? [];
      underWayNow.delete(index);
      order.push(index);
      ended?.();
    }
    expect(most).toBe(3);
    expect(order.toSorted((one, other) => one - other)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("of fewer orders than may be under way sends each once", () => {
    const sent: number[] = [];
    underWay(new FakeClock(), { count: 2, atOnce: 5 }, (index) => sent.push(index));
    expect(sent).toEqual([0, 1]);
  });
});
