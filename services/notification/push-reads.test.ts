import { describe, expect, test } from "bun:test";
import { Push } from "./push.ts";
import type { Notification } from "./store.ts";

const DAY_MS = 86_400_000;

/** A customer's notifications, and how often they were read. */
function follow() {
  const stored: Notification[] = [];
  const state = { reads: 0, fails: false, isFull: false };
  const push = new Push((_customerId, after) => {
    state.reads += 1;
    if (state.fails) throw new Error("the disk is full");
    return stored.filter(({ seq }) => seq > Number(after));
  });
  const sent: number[] = [];
  const send = (text: string) => {
    const length = sent.push((JSON.parse(text) as Notification).seq);
    return state.isFull ? -1 : length;
  };
  const socket = { send, cork: (callback: () => void) => callback(), close: () => {} };
  push.open(socket, "ANN", "0", DAY_MS);
  const store = (): Promise<void> | undefined => {
    const seq = stored.length + 1;
    const texts = {
      notificationId: String(seq),
      orderId: "X",
      message: "confirmed",
      at: "now",
      cursor: String(seq),
    };
    stored.push({ seq, ...texts, type: "order.confirmed" });
    return push.notify("ANN");
  };
  return { state, sent, store, drained: () => push.drained(socket), disconnect: () => push.close(socket) };
}

test.each([
  ["does not call back", () => {}],
  ["sends nothing", (callback: () => void) => callback()],
])("a connection that is gone, whose socket %s, is no reason to read on", async (_, cork) => {
  let reads = 0;
  const push = new Push((_customerId, after, limit) => {
    reads += 1;
    if (reads > 3) throw new Error("it reads on and on");
    const seq = Number(after) + 1;
    const texts = { notificationId: "1", orderId: "X", message: "confirmed", at: "now", cursor: String(seq) };
    return Array.from({ length: limit }, () => ({ seq, ...texts, type: "order.confirmed" }));
  });
  let sends = 0;
  const send = () => {
    sends += 1;
    return 0;
  };
  const socket = { send, cork, close: () => {} };
  push.open(socket, "ANN", "0", DAY_MS);
  await push.notify("ANN");
  expect(reads).toBe(2);
  expect(sends).toBeLessThanOrEqual(2);
  push.close(socket);
});

describe("notifications that are stored together", () => {
  test("are read once, and all sent", async () => {
    const { state, sent, store, disconnect } = follow();
    const before = state.reads;
    const [first] = [store(), store(), store()];
    await first;
    expect([sent, state.reads - before]).toEqual([[1, 2, 3], 1]);
    await store();
    expect([sent, state.reads - before]).toEqual([[1, 2, 3, 4], 2]);
    disconnect();
  });

  test("are sent with the next ones when they could not be read", async () => {
    const { state, sent, store, disconnect } = follow();
    state.fails = true;
    await expect(Promise.resolve(store())).rejects.toThrow("the disk is full");
    state.fails = false;
    await store();
    expect(sent).toEqual([1, 2]);
    disconnect();
  });

  test("reach the other customers when those of one could not be read", async () => {
    const notifications: Notification[] = [];
    const push = new Push((customerId) => {
      if (customerId === "ANN" && notifications.length > 0) throw new Error("the disk is full");
      return notifications;
    });
    const sent: string[] = [];
    const customers = ["ANN", "BOB"];
    const sockets = customers.map((customerId) => ({
      send: () => sent.push(customerId),
      cork: (callback: () => void) => callback(),
      close: () => {},
    }));
    for (const [index, socket] of sockets.entries()) push.open(socket, customers[index] ?? "", "0", DAY_MS);
    const texts = { notificationId: "1", orderId: "X", message: "confirmed", at: "now", cursor: "1" };
    notifications.push({ seq: 1, ...texts, type: "order.confirmed" });
    const [caughtUp] = customers.map((customerId) => push.notify(customerId));
    await expect(Promise.resolve(caughtUp)).rejects.toThrow("the disk is full");
    expect(sent).toEqual(["BOB"]);
    for (const socket of sockets) push.close(socket);
  });
});

test("a socket whose buffer is empty again is sent the next notification, also if none waited for that", async () => {
  const { state, sent, store, drained, disconnect } = follow();
  state.isFull = true;
  await store();
  state.isFull = false;
  drained();
  await store();
  expect(sent).toEqual([1, 2]);
  disconnect();
});
