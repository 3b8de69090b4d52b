/*
 * Decisions only: no database, no broker, no clock. What a decision needs is an argument, so every case is tested by
 * calling a function.
 */

interface Details {
  readonly orderId: string;
  readonly customerId: string;
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
}

/** The order is confirmed, and the work for it is not done yet. */
export interface Open extends Details {
  readonly status: "open";
}

export interface Done extends Details {
  readonly status: "done";
  /** Milliseconds since the epoch. */
  readonly doneAt: number;
}

/** The order was cancelled before the work was done. */
export interface Cancelled extends Details {
  readonly status: "cancelled";
}

/** What this service has to do for one order. */
export type Task = Open | Done | Cancelled;

/** What happened to an order. */
export type Input =
  | { readonly kind: "order-confirmed"; readonly orderId: string; readonly customerId: string }
  | { readonly kind: "order-cancelled"; readonly orderId: string }
  | { readonly kind: "work-done"; readonly orderId: string };

/**
 * @param task the task of the order; undefined when there is none
 * @param now milliseconds since the epoch
 * @returns the task afterwards: the same object when nothing changes
 */
export function decide(task: Task | undefined, input: Input, now: number): Task | undefined {
  switch (input.kind) {
    case "order-confirmed": {
      const { orderId, customerId } = input;
      return task ?? { status: "open", orderId, customerId, openedAt: now };
    }
    case "order-cancelled":
      // An order that was never confirmed has no task, and what is done is not undone.
      return task?.status === "open" ? { ...task, status: "cancelled" } : task;
    case "work-done":
      return task?.status === "open" ? { ...task, status: "done", doneAt: now } : task;
    default:
      return input satisfies never;
  }
}
