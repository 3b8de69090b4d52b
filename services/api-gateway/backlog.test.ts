import { expect, test } from "bun:test";
import { Backlog } from "./backlog.ts";

/** An outbox from which nothing is sent. */
function fullBacklog(limit: number) {
  const outbox = { depth: 0 };
  const backlog = new Backlog(limit, () => outbox.depth);
  /** A request that adds a message. */
  const place = async () => {
    outbox.depth += 1;
    return { messages: ["PlaceOrder"] };
  };
  /** How many of some requests are accepted. */
  const send = async (
    customerId: string,
    requests: number,
    carryOut: () => Promise<{ messages: string[] } | undefined> = place,
  ): Promise<number> => {
    for (let count = 0; count < requests; count += 1) {
      try {
        await backlog.admit(customerId, carryOut);
      } catch {
        return count;
      }
    }
    return requests;
  };
  return { outbox, backlog, send };
}

test("one customer fills the outbox; the others still have their share of what is reserved for them", async () => {
  const { send } = fullBacklog(1_000);
  expect(await send("EVE", 5_000)).toBe(1_000);
  expect(await send("ANN", 5_000)).toBe(10);
  expect(await send("BOB", 5)).toBe(5);
  expect(await send("EVE", 1)).toBe(0);
});

test("the outbox has a limit for all together", async () => {
  const { outbox, send } = fullBacklog(1_000);
  await send("EVE", 1_000);
  for (let index = 0; index < 50; index += 1) await send(`EVE_${index}`, 100);
  expect(outbox.depth).toBe(1_100);
});

test("who sent much before has a share again once the outbox was half empty", async () => {
  const { outbox, send } = fullBacklog(100);
  await send("EVE", 100);
  expect(await send("EVE", 1)).toBe(0);
  outbox.depth = 49;
  expect(await send("ANN", 51)).toBe(51);
  expect(await send("EVE", 2)).toBe(1);
});

test("also a small outbox keeps a place for another customer", async () => {
  const { send } = fullBacklog(5);
  expect([await send("EVE", 9), await send("ANN", 9), await send("BOB", 9)]).toEqual([5, 1, 0]);
});

test.each<[string, () => Promise<{ messages: string[] } | undefined>]>([
  ["a replay", async () => ({ messages: [] })],
  ["a request whose connection was closed", async () => undefined],
  [
    "a request that is refused",
    async () => {
      throw new Error("not this one");
    },
  ],
])("%s takes nothing of a customer's share", async (_, carryOut) => {
  const { send } = fullBacklog(100);
  await send("EVE", 100);
  for (let index = 0; index < 10; index += 1) await send("ANN", 1, carryOut);
  expect(await send("ANN", 2)).toBe(1);
  // What is given back is not more than what was taken.
  await send("ANN", 1, carryOut);
  expect(await send("ANN", 1)).toBe(0);
});

test("requests that are carried out at the same time are no way around the share", async () => {
  const { backlog, send, outbox } = fullBacklog(100);
  await send("EVE", 100);
  const { promise, resolve } = Promise.withResolvers<{ messages: string[] }>();
  const requests = Array.from({ length: 50 }, () => backlog.admit("ANN", () => promise));
  resolve({ messages: ["PlaceOrder"] });
  const outcomes = await Promise.allSettled(requests);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(outbox.depth).toBe(100);
});

test("a request that ends after the counts began anew gives nothing back twice", async () => {
  const { backlog, send, outbox } = fullBacklog(100);
  await send("EVE", 100);
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const waiting = backlog.admit("ANN", () => promise);
  outbox.depth = 0;
  expect(await send("EVE", 100)).toBe(100);
  resolve(undefined);
  await waiting;
  expect(await send("ANN", 5)).toBe(1);
});
