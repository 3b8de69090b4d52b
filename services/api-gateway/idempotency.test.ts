import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  migrate,
  openDatabase,
  type ServiceDatabase,
  type Transaction,
} from "@distributed-messaging/messaging";
import { IdempotencyKeys, type KeyedRequest } from "./idempotency.ts";
import { migrations } from "./migrations/index.ts";

const RETENTION_MS = 1_000;

let database: ServiceDatabase;
let keys: IdempotencyKeys;
beforeEach(() => {
  database = openDatabase(":memory:");
  migrate(database, "api-gateway", migrations);
  keys = new IdempotencyKeys(database, RETENTION_MS);
});
afterEach(() => database.close());

const request = (key: string | undefined, change: Partial<KeyedRequest> = {}): KeyedRequest => ({
  customerId: "ANN",
  key,
  operation: "place-order",
  content: "CUP:1",
  ...change,
});

/** Nothing here asks the transaction for more than the time. */
const at = (now: number) => ({ now }) as Transaction;

function count(): number {
  return database.sql.query<{ n: number }, []>("SELECT count(*) AS n FROM idempotency_keys").get()?.n ?? 0;
}

test("what was done is known again, for the same customer, request and content only", () => {
  const done = { target: "X", answer: "accepted" };
  expect(keys.find(request("k"))).toBeUndefined();
  keys.remember(request("k"), done, at(0));
  expect(keys.find(request("k"))).toEqual(done);
  expect(keys.find(request("k", { customerId: "BOB" }))).toBeUndefined();
  expect(keys.find(request("other"))).toBeUndefined();
  expect(() => keys.find(request("k", { content: "CUP:2" }))).toThrow("came with another request");
  expect(() => keys.find(request("k", { operation: "restock" }))).toThrow("came with another request");
});

test("a request without a key is never known again", () => {
  keys.remember(request(undefined), { target: "X", answer: "" }, at(0));
  expect(keys.find(request(undefined))).toBeUndefined();
  expect(count()).toBe(0);
});

test("a key is good for the whole retention; after that it goes with the traffic, and the table stays bounded", () => {
  const remember = (key: string, now: number) =>
    keys.remember(request(key), { target: key, answer: "" }, at(now));
  for (let index = 0; index < 100; index += 1) remember(`old ${index}`, index);
  remember("just in time", RETENTION_MS);
  expect(keys.find(request("old 0"))).toBeDefined();
  let most = count();
  for (let index = 0; index < 500; index += 1) {
    remember(`new ${index}`, 10 * RETENTION_MS + 10 * index);
    most = Math.max(most, count());
  }
  expect(keys.find(request("old 0"))).toBeUndefined();
  expect(keys.find(request("new 499"))).toBeDefined();
  // As many as came in within one retention, at the busiest.
  expect(most).toBeLessThanOrEqual(102);
  expect(count()).toBeLessThanOrEqual(102);
});
