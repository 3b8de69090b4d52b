import { expect, test } from "bun:test";
import { type Unread, unreadAfter } from "./unread.ts";

/** Since when the service has unread messages, after each look: its lag and what it has handled, once a second. */
function since(looks: readonly (readonly [lag: number | null, handled: number | null])[]) {
  let unread: ReadonlyMap<string, Unread> = new Map();
  return looks.map(([count, handled], at) => {
    const lag = count === null ? null : { order: count };
    unread = unreadAfter(unread, { at, lag, services: [{ name: "order", handled }] });
    return unread.get("order")?.at;
  });
}

test("messages that are not read are unread since they were seen first", () => {
  expect(
    since([
      [5, 100],
      [6, 100],
      [null, 100],
      [9, 104],
    ]),
  ).toEqual([0, 0, 0, 0]);
});

test("under steady load the unread messages are others at each look", () => {
  expect(
    since([
      [50, 100],
      [50, 150],
      [50, 200],
      [0, 250],
    ]),
  ).toEqual([0, 1, 2, undefined]);
});

test("a service that does not answer reads nothing, and one that has restarted counts anew", () => {
  expect(
    since([
      [5, 100],
      [5, null],
      [5, null],
      [5, 0],
      [5, 5],
    ]),
  ).toEqual([0, 0, 0, 3, 4]);
});
