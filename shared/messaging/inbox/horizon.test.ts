import { afterEach, expect, test } from "bun:test";
import type { Message } from "../contract/envelope.ts";
import { migrate, openDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import { type Runtime, systemRuntime } from "../runtime.ts";
import { kitMigrations } from "../schema.ts";
import { eventually } from "../testing/eventually.ts";
import { letter, letters, TestService } from "../testing/kit.ts";

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const topic = letters.name;

/** A clock that tests move, and the pruning that waits for it. */
class Clock {
  offsetMs = 0;
  #pruned = Promise.withResolvers<void>();
  #monotonicMs = 0;
  #prune: (() => void) | undefined;

  readonly runtime: Runtime = {
    ...systemRuntime,
    now: () => systemRuntime.now() + this.offsetMs,
    monotonic: () => systemRuntime.monotonic() + this.#monotonicMs,
    after: (delayMs, callback) => {
      if (delayMs !== 60_000) return systemRuntime.after(delayMs, callback);
      this.#prune = callback;
      this.#pruned.resolve();
      return () => {};
    },
  };

  /** A minute passes, as far as durations are measured, and old claims are deleted. */
  async prune(times = 1): Promise<void> {
    for (let n = 0; n < times; n += 1) {
      this.#pruned = Promise.withResolvers();
      this.#monotonicMs += 60_000;
      this.#prune?.();
      await this.#pruned.promise;
    }
  }
}

let clock: Clock;
let service: TestService;
afterEach(() => service.stop());

function start(...options: ConstructorParameters<typeof TestService>): void {
  clock = new Clock();
  const [handle, rest] = options;
  service = new TestService(handle, { runtime: clock.runtime, ...rest });
  service.kit.start();
}

const old = (name: string, text: string, days = 30): Message => ({
  ...letter(name, text),
  time: new Date(systemRuntime.now() - days * DAY_MS).toISOString(),
});
const horizon = () =>
  service.database.sql.query<{ time: number }, []>("SELECT time FROM inbox_horizon").get()?.time ?? 0;
const claims = () =>
  service.database.sql.query<{ n: number }, []>("SELECT count(*) AS n FROM inbox").get()?.n ?? -1;
const partitionOf = (name: string) =>
  service.broker.records(topic).find(({ key }) => key === name)?.partition ?? -1;
const dead = () => service.kit.deadLetterAdmin.list({ limit: 100 });
const stops = () => service.kit.partitionStops;

/** Handles 300 letters, of which the inbox then knows nothing, and a new one. The log loses its end. @returns its partition */
async function lostItsEnd(): Promise<number> {
  start();
  const many = Array.from({ length: 300 }, (_, n) => old("a", String(n)));
  await service.publish(...many);
  await eventually(() => service.applied().length === 300);
  clock.offsetMs = 30 * DAY_MS;
  await clock.prune(24 * 30);
  expect(claims()).toBe(0);
  await service.publish({ ...letter("a", "new"), time: new Date(clock.runtime.now()).toISOString() });
  await eventually(() => service.applied().length === 301);
  await service.kit.stop();
  const partition = partitionOf("a");
  service.broker.partition(topic, partition).truncate(300);
  await service.restart();
  const after = { ...letter("a", "after"), time: new Date(clock.runtime.now()).toISOString() };
  await service.publish(after);
  await eventually(() => stops().list().length === 1);
  return partition;
}

test("a log that is read anew stops at the first message that is too old to be known; nothing takes effect twice", async () => {
  const partition = await lostItsEnd();
  expect(stops().list()).toMatchObject([{ topic, partition, reason: "unverifiable", offset: 0 }]);
  expect(service.applied().length).toBe(301);
  expect(dead()).toEqual([]);
  await service.restart();
  await stops().decide({ topic, partition }, "resume", "tried again", "ann");
  await eventually(() => stops().list().length === 1);
  expect(service.applied().length).toBe(301);

  await stops().decide({ topic, partition }, "skip-older", "all were handled", "ann");
  await eventually(() => service.applied().length === 302);
  expect(service.applied().slice(300)).toEqual(["a:new", "a:after"]);
  expect(stops().list()).toEqual([]);
  expect(dead()).toEqual([]);
});

test("messages that are too old to be known are handled again only if an operator says so", async () => {
  const partition = await lostItsEnd();
  await stops().decide({ topic, partition }, "handle-older", "restored from a copy", "ann");
  await eventually(() => service.applied().length === 602);
  expect(service.applied().at(-1)).toBe("a:after");
});

test("messages that are too old to be known can be parked, to be decided about one by one", async () => {
  const partition = await lostItsEnd();
  await stops().decide({ topic, partition }, "park-older", "not sure", "ann");
  await eventually(() => dead().length === 100 && service.kit.deadLetters.count() === 301);
  expect(dead()[0]).toMatchObject({ reason: "too-old", offset: 0 });
  expect(service.applied().length).toBe(301);
});

test("after a log was read anew, the rule of the log in use holds again", async () => {
  const partition = await lostItsEnd();
  await stops().decide({ topic, partition }, "skip-older", "all were handled", "ann");
  await eventually(() => service.applied().length === 302);
  await service.publish(old("a", "late"));
  await eventually(() => dead().length === 1);
  expect(dead()).toMatchObject([{ reason: "too-old" }]);
});

test("a message that arrives too late to be known is parked, and handled when an operator replays it", async () => {
  start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  const late = old("a", "late");
  await service.publish(late);
  await eventually(() => dead().length === 1);
  expect(dead()).toMatchObject([
    { reason: "too-old", error: `it is of ${late.time}; the inbox no longer says whether it was handled` },
  ]);
  await service.publish(letter("a", "2"));
  await eventually(() => dead().length === 2);
  await service.kit.deadLetterAdmin.replay([dead()[0]?.id ?? 0], "ann");
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:1", "a:late", "a:2"]);
  await service.publish(late);
  await eventually(() => service.kit.consumer.counts.duplicate === 1);
  expect(service.applied().length).toBe(3);
});

test("a message is judged by the horizon as it is now, not as it was at the start", async () => {
  start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  const late = old("a", "late", 5);
  clock.offsetMs = 3 * DAY_MS;
  await clock.prune(24 * 3);
  await service.publish(late);
  await eventually(() => dead().length === 1);
  expect(dead()).toMatchObject([{ reason: "too-old" }]);
});

test("a partition that was never read is read from its beginning, whatever its age", async () => {
  start();
  await service.publish(old("a", "1", 400), old("a", "2", 300), letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(dead()).toEqual([]);
});

test("a copy of a handled message is recognised also while its key is blocked", async () => {
  start(({ text }) => {
    if (text === "poison") throw new DomainError("no");
  });
  const first = letter("a", "1");
  await service.publish(first, letter("a", "poison"), first);
  await eventually(() => service.kit.consumer.counts.duplicate === 1);
  expect(dead().map(({ reason }) => reason)).toEqual(["domain"]);
});

test("claims with a time in the future do not keep others from being deleted", async () => {
  start();
  const future = Array.from({ length: 600 }, (_, n) => old("a", String(n), -3650));
  await service.publish(...future);
  await eventually(() => service.applied().length === 600);
  await service.publish(letter("b", "now"));
  await eventually(() => service.applied().length === 601);
  clock.offsetMs = 8 * DAY_MS;
  await clock.prune(24 * 9);
  expect(claims()).toBe(600);
});

test("a clock that is ahead for a moment moves the horizon by an hour, and never beyond", async () => {
  start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  await clock.prune(15);
  const before = horizon();
  clock.offsetMs = 3650 * DAY_MS;
  await clock.prune();
  clock.offsetMs = 0;
  await clock.prune(15);
  expect(horizon() - before).toBeLessThanOrEqual(HOUR_MS);
  expect(claims()).toBe(1);
  await service.publish({
    ...letter("a", "2"),
    time: new Date(systemRuntime.now() - 6 * DAY_MS).toISOString(),
  });
  await eventually(() => service.applied().length === 2);
});

test("the horizon waits for what has not been read, and for messages that are blocked", async () => {
  let broken = true;
  start(
    ({ text }) => {
      if (text === "2" && broken) throw new Error("not yet");
      if (text === "poison") throw new DomainError("no");
    },
    { retry: { backoff: { firstMs: 1, mostMs: 1 }, attempts: 1_000_000 } },
  );
  await service.publish(letter("b", "poison"), letter("b", "blocked"));
  await eventually(() => dead().length === 2);
  await service.publish(letter("a", "1"), letter("a", "2"));
  await eventually(() => service.applied().length === 1);
  const unread = systemRuntime.now();
  clock.offsetMs = 30 * DAY_MS;
  await clock.prune(24 * 40);
  expect(horizon()).toBeLessThanOrEqual(unread - 7 * DAY_MS);
  broken = false;
  await eventually(() => service.applied().length === 2);
  await clock.prune(24 * 40);
  expect(horizon()).toBeLessThanOrEqual(unread);
  await service.kit.deadLetterAdmin.discard(dead()[0]?.id ?? 0, "poison", "ann");
  await eventually(() => dead().length === 0);
  await clock.prune(24 * 40);
  expect(horizon()).toBeGreaterThan(unread);
  expect(service.applied()).toEqual(["a:1", "a:2", "b:blocked"]);
});

/** A UUID of version 7 that is of a time. */
function idOf(time: number): string {
  const hex = time.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}${Bun.randomUUIDv7().slice(13)}`;
}

test("claims are deleted once the horizon has passed their stamps, whatever their ids", async () => {
  start();
  const now = systemRuntime.now();
  const ids = [
    ...["00000000-0000-4000-8000-000000000001", "ffffffff-ffff-4fff-bfff-ffffffffffff", "an id of its own"],
    ...[0, -30_000, 30 * 60_000, 2 * HOUR_MS, 400 * DAY_MS, -3 * DAY_MS].map((age) => idOf(now - age)),
    ...Array.from({ length: 1_200 }, (_, n) => idOf(now - n)),
    ...Array.from({ length: 1_200 }, () => crypto.randomUUID()),
  ];
  await service.publish(...ids.map((id, n) => ({ ...letter(`k${n % 9}`, "x"), id })));
  await eventually(() => service.applied().length === ids.length);
  clock.offsetMs = 6 * DAY_MS;
  await clock.prune(24 * 7);
  expect(claims()).toBe(ids.length);
  clock.offsetMs = 8 * DAY_MS;
  await clock.prune(24 * 2);
  await eventually(() => claims() === 0);

  // The horizon comes to a time between their ids and their stamps, and then passes more than are deleted at once.
  const later = clock.runtime.now();
  const time = new Date(later).toISOString();
  const many = Array.from({ length: 600 }, () => ({
    ...letter("a", "later", idOf(later - 30 * 60_000)),
    time,
  }));
  await service.publish(...many);
  await eventually(() => claims() === many.length);
  clock.offsetMs = 15 * DAY_MS - 15 * 60_000;
  await clock.prune(24 * 8);
  expect(claims()).toBe(many.length);
  clock.offsetMs = 15 * DAY_MS + HOUR_MS;
  await clock.prune(3);
  await eventually(() => claims() === 0);
});

test.each(["claims in the order of their ids", "claims of UUIDs in 16 bytes"])(
  "claims that the kit stored before the step '%s' are found",
  async (name) => {
    const step = kitMigrations.findIndex((migration) => migration.name === name);
    const database = openDatabase(":memory:");
    migrate(database, "messaging", kitMigrations.slice(0, step));
    const now = systemRuntime.now();
    const uuids = [idOf(now), crypto.randomUUID()];
    const others = [crypto.randomUUID().toUpperCase(), "an id of its own"];
    const stored = [...uuids, ...others.map((id) => `reader ${id}`)];
    for (const id of stored) {
      database.sql.run("INSERT INTO inbox (consumer, message_id, handled_at) VALUES ('reader', ?, ?)", [
        id,
        now,
      ]);
    }
    start(undefined, { database });
    const known = [...uuids, ...others].map((id) => ({ ...letter("a", "known"), id }));
    await service.publish(...known, letter("a", "new"));
    await eventually(() => service.applied().length > 0);
    expect(service.applied()).toEqual(["a:new"]);
    expect(database.sql.query("SELECT count(*) AS n, min(handled_at) AS first FROM inbox").get()).toEqual({
      n: known.length + 1,
      first: now,
    });
    await service.kit.stop();
    database.close();
  },
);
