import { describe, expect, test } from "bun:test";
import { decide, type Input, type Task } from "./domain.ts";

const NOW = 2_000;
const ids = { orderId: "ORDER_1", customerId: "CUSTOMER_1" };
const open: Task = { status: "open", ...ids, openedAt: 1_000 };
const done: Task = { status: "done", ...ids, openedAt: 1_000, doneAt: 1_500 };
const cancelled: Task = { status: "cancelled", ...ids, openedAt: 1_000 };

const confirmation: Input = { kind: "order-confirmed", ...ids };
const cancellation: Input = { kind: "order-cancelled", orderId: ids.orderId };
const completion: Input = { kind: "work-done", orderId: ids.orderId };

describe("decide", () => {
  test("a confirmed order opens a task", () => {
    expect(decide(undefined, confirmation, NOW)).toEqual({ status: "open", ...ids, openedAt: NOW });
  });

  test("a cancelled order cancels an open task", () => {
    expect(decide(open, cancellation, NOW)).toEqual(cancelled);
  });

  test("work that is done completes an open task", () => {
    expect(decide(open, completion, NOW)).toEqual({ status: "done", ...ids, openedAt: 1_000, doneAt: NOW });
  });

  test.each([
    ["a confirmation", confirmation, [open, done, cancelled]],
    ["a cancellation", cancellation, [undefined, done, cancelled]],
    ["a completion", completion, [undefined, done, cancelled]],
  ])("%s changes nothing elsewhere", (_, input, tasks) => {
    for (const task of tasks) expect(decide(task, input, NOW)).toBe(task);
  });
});
