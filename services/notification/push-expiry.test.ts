import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { Push } from "./push.ts";

const DAY_MS = 86_400_000;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

function open(validMs: number) {
  const push = new Push(() => []);
  const closed: number[] = [];
  const socket = { send: () => 1, cork: () => {}, close: (code: number) => closed.push(code) };
  push.open(socket, "ANN", "0", validMs);
  return { closed, disconnect: () => push.close(socket) };
}

test.each([1, 24, 25, 60, 400])(
  "a socket whose token is valid for %d days is closed after that and not before",
  (days) => {
    const { closed } = open(days * DAY_MS);
    for (let day = 1; day < days; day += 1) jest.advanceTimersByTime(DAY_MS);
    jest.advanceTimersByTime(DAY_MS - 1);
    expect(closed).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closed).toEqual([1008]);
  },
);

test("a socket that was closed has no timer left", () => {
  const { closed, disconnect } = open(60 * DAY_MS);
  for (let day = 1; day < 30; day += 1) jest.advanceTimersByTime(DAY_MS);
  disconnect();
  expect(jest.getTimerCount()).toBe(0);
  for (let day = 1; day < 60; day += 1) jest.advanceTimersByTime(DAY_MS);
  expect(closed).toEqual([]);
});
