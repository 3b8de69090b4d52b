import { expect, test } from "bun:test";
import { Backlog } from "./backlog.ts";

/** An outbox from which nothing is sent. */
function fullBacklog(limit: number) {
  const outbox = { depth: 0 };
  const backlog = new Backlog(limit, () => outbox.depth);
  /** How many of some requests are accepted. */
  const send = (customerId: string, requests: number): number => {
    for (let count = 0; count < requests; count += 1) {
      try {
        backlog.admit(customerId);
      } catch {
        return count;
      }
      outbox.depth += 1;
    }
    return requests;
  };
  return { outbox, send };
}

test("one customer fills the outbox; the others still have their share of what is reserved for them", () => {
  const { send } = fullBacklog(1_000);
  expect(send("EVE", 5_000)).toBe(1_000);
  expect(send("ANN", 5_000)).toBe(10);
  expect(send("BOB", 5)).toBe(5);
  expect(send("EVE", 1)).toBe(0);
});

test("the outbox has a limit for all together", () => {
  const { outbox, send } = fullBacklog(1_000);
  send("EVE", 1_000);
  for (let index = 0; index < 50; index += 1) send(`EVE_${index}`, 100);
  expect(outbox.depth).toBe(1_100);
});

test("who sent much before has a share again once the outbox was half empty", () => {
  const { outbox, send } = fullBacklog(100);
  send("EVE", 100);
  expect(send("EVE", 1)).toBe(0);
  outbox.depth = 49;
  expect(send("ANN", 51)).toBe(51);
  expect(send("EVE", 2)).toBe(1);
});

test("also a small outbox keeps a place for another customer", () => {
  const { send } = fullBacklog(5);
  expect([send("EVE", 9), send("ANN", 9), send("BOB", 9)]).toEqual([5, 1, 0]);
});
