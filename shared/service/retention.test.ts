import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  migrate,
  openDatabase,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
  type Transaction,
} from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeletedIds, keptTopics, Retention, retentionMigration } from "./retention.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

let database: ServiceDatabase;
beforeEach(() => {
  database = openDatabase(":memory:");
  migrate(database, "test", [retentionMigration]);
});
afterEach(() => database.close());

/** Looks at what is kept for a day, whenever `next` is called. */
class Sweeps {
  now = 100 * DAY_MS;
  elapsedMs = 0;
  newest: number | undefined;
  readonly before: number[] = [];
  hasMore = false;
  #callback: () => void = () => {};
  readonly #retention: Retention;

  constructor() {
    const run = <T>(work: (transaction: Transaction) => T) => {
      const committed: (() => void)[] = [];
      const afterCommit = (callback: () => void) => void committed.push(callback);
      const result = work({ now: this.now, afterCommit } as Transaction);
      // Units that wait together are committed together.
      return Promise.resolve().then(() => {
        for (const callback of committed) callback();
        return result;
      });
    };
    this.#retention = new Retention({
      database,
      log: silentLogger,
      minFreeBytes: 1,
      unitOfWork: { run } as ConstructorParameters<typeof Retention>[0]["unitOfWork"],
      runtime: {
        ...systemRuntime,
        monotonic: () => this.elapsedMs,
        after: (_delayMs, callback) => {
          this.#callback = callback;
          return () => {};
        },
      },
      kept: {
        keepMs: DAY_MS,
        newest: () => this.newest,
        remove: (before) => {
          this.before.push(before);
          return this.hasMore;
        },
      },
    });
    this.#retention.start();
  }

  /** @returns the time before which things are deleted */
  async next(elapsedMs = 0): Promise<number> {
    this.now += elapsedMs;
    this.elapsedMs += elapsedMs;
    const count = this.before.length;
    this.#callback();
    await eventually(() => this.before.length > count);
    await Bun.sleep(0);
    return this.before.at(-1) ?? Number.NaN;
  }

  stop(): Promise<void> {
    return this.#retention.stop();
  }
}

describe("the time by which retention deletes", () => {
  test("is the clock's, while that goes as it should", async () => {
    const sweeps = new Sweeps();
    expect(await sweeps.next()).toBe(99 * DAY_MS);
    expect(await sweeps.next(MINUTE_MS)).toBe(99 * DAY_MS + MINUTE_MS);
    await sweeps.stop();
  });

  test("follows a clock that jumps ahead by twice of what has really passed, and goes back with it", async () => {
    const sweeps = new Sweeps();
    await sweeps.next();
    sweeps.now += 50 * DAY_MS;
    expect(await sweeps.next(MINUTE_MS)).toBe(99 * DAY_MS + 2 * MINUTE_MS);
    expect(await sweeps.next(MINUTE_MS)).toBe(99 * DAY_MS + 4 * MINUTE_MS);
    sweeps.now -= 50 * DAY_MS;
    expect(await sweeps.next(MINUTE_MS)).toBe(99 * DAY_MS + 3 * MINUTE_MS);
    await sweeps.stop();
  });

  test("begins at the time of the newest row, and goes on from where it was", async () => {
    const first = new Sweeps();
    first.newest = 90 * DAY_MS;
    expect(await first.next()).toBe(89 * DAY_MS);
    await first.stop();
    const second = new Sweeps();
    second.now += 10 * DAY_MS;
    expect(await second.next(MINUTE_MS)).toBe(89 * DAY_MS + 2 * MINUTE_MS);
    await second.stop();
  });

  test("is never later than a clock that was set back", async () => {
    const sweeps = new Sweeps();
    await sweeps.next();
    sweeps.now -= 10 * DAY_MS;
    expect(await sweeps.next()).toBe(89 * DAY_MS);
    await sweeps.stop();
  });
});

test("as long as there is more to delete, each look has twice as many batches, up to eight; the time steps once for all", async () => {
  const sweeps = new Sweeps();
  const newest = sweeps.now - 10 * DAY_MS;
  sweeps.newest = newest;
  sweeps.hasMore = true;
  for (const batches of [1, 2, 4, 8, 8]) {
    const before = sweeps.before.length;
    const first = await sweeps.next(MINUTE_MS);
    expect(sweeps.before).toHaveLength(before + batches);
    expect(new Set(sweeps.before.slice(before)).size).toBe(1);
    expect(first).toBe(newest - DAY_MS + 2 * (sweeps.elapsedMs - MINUTE_MS));
  }
  sweeps.hasMore = false;
  await sweeps.next(MINUTE_MS);
  const before = sweeps.before.length;
  await sweeps.next(MINUTE_MS);
  expect(sweeps.before).toHaveLength(before + 1);
  await sweeps.stop();
});

test("once nothing is left to delete, each look gives free pages back until there are few", async () => {
  const { sql } = database;
  const pages = () =>
    sql
      .query<{ count: number; free: number }, []>(
        "SELECT page_count AS count, freelist_count AS free FROM pragma_page_count, pragma_freelist_count",
      )
      .get() ?? { count: Number.NaN, free: Number.NaN };
  sql.run("CREATE TABLE freed (bytes BLOB)");
  sql.run("INSERT INTO freed VALUES (zeroblob(3000000))");
  sql.run("DELETE FROM freed");
  const before = pages().count;
  const sweeps = new Sweeps();
  for (let look = 1; look <= 5; look += 1) await sweeps.next();
  expect(pages().count).toBeLessThan(before / 5);
  expect(pages().free).toBeLessThan(pages().count / 2);
  await sweeps.stop();
});

test("deleted ids are known until they are forgotten, also to the next process", () => {
  const ids = new DeletedIds(database);
  expect(ids.has("A")).toBe(false);
  for (const [id, now] of [
    ["A", 1],
    ["B", 2],
    ["B", 3],
  ] as const)
    ids.add(id, now);
  const next = new DeletedIds(database);
  expect(["A", "B", "C"].map((id) => next.has(id))).toEqual([true, true, false]);
  next.prune(2, 10);
  expect(["A", "B"].map((id) => next.has(id))).toEqual([false, true]);
});

describe("topics", () => {
  const topic = (name: string, config: Record<string, string>) => ({
    name,
    key: "id",
    partitions: 1,
    config,
  });
  const topics = [
    topic("events", { "retention.ms": "-1" }),
    topic("commands", { "retention.ms": "5" }),
    topic("states", { "cleanup.policy": "compact" }),
  ];
  const retentions = (config: Parameters<typeof keptTopics>[1]) =>
    keptTopics(topics, config).map(({ config: { "retention.ms": retention } }) => retention);

  test("of events are kept for twice as long as orders, for as long as notifications, and for a week", () => {
    expect(retentions({})).toEqual(["-1", "5", undefined]);
    expect(retentions({ NOTIFICATION_RETENTION: DAY_MS })).toEqual(["-1", "5", undefined]);
    expect(retentions({ ORDER_RETENTION: 30 * DAY_MS })).toEqual([String(60 * DAY_MS), "5", undefined]);
    expect(retentions({ ORDER_RETENTION: DAY_MS })[0]).toBe(String(7 * DAY_MS));
    const both = { ORDER_RETENTION: 30 * DAY_MS, NOTIFICATION_RETENTION: 90 * DAY_MS };
    expect(retentions(both)[0]).toBe(String(90 * DAY_MS));
  });
});
