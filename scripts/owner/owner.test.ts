import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { openDatabase } from "@distributed-messaging/messaging";
import { StoreSettings } from "../testing/store-process.ts";

/* Where no broker answers. With one: e2e/promises/one-owner.test.ts, e2e/drills. */

let store: StoreSettings;
beforeEach(async () => {
  store = new StoreSettings();
  expect((await store.run("start-persistence.ts")).exitCode).toBe(0);
});
afterEach(() => store.remove());

const path = () => join(store.env.DATA_DIR ?? "", "order.sqlite");
const used = () => {
  using database = new Database(path());
  database.run("INSERT INTO ownership (singleton, file, epoch) VALUES (1, 'mine', 3)");
};
const takesOver = () => {
  using database = new Database(path(), { readonly: true });
  return database.query("SELECT takes_over FROM ownership").values().flat();
};

slowTest("take-over is stored in a database that was used, and is not in use", async () => {
  const unused = await store.run("owner.ts", ["take-over", "order"]);
  expect([unused.exitCode, unused.stderr]).toEqual([1, expect.stringContaining("start order once")]);
  used();
  const database = openDatabase(path());
  const refused = await store.run("owner.ts", ["take-over", "order"]);
  database.close();
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("stop order first")]);
  expect(takesOver()).toEqual([0]);
  const { exitCode, stdout } = await store.run("owner.ts", ["take-over", "order"]);
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining("the next start of order takes it over")]);
  expect(takesOver()).toEqual([1]);
});

test("without a broker, the owners cannot be listed", async () => {
  const { exitCode, stderr } = await store.run("owner.ts", ["list"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("the broker at localhost:")]);
});
