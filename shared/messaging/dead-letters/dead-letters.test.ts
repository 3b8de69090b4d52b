import { afterEach, beforeEach, expect, test } from "bun:test";
import { migrate, openDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import { defaultRetryPolicy } from "../inbox/decision.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { kitMigrations } from "../schema.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { letter, letters, TestService } from "../testing/kit.ts";
import { MAX_REPLAYS } from "./admin.ts";

let service: TestService;
/** Whether every message fails with an error that may pass. */
let fails = false;
let onLetter: (text: string) => void;
beforeEach(() => {
  fails = false;
  onLetter = () => {};
});
afterEach(() => service.stop());

const admin = () => service.kit.deadLetterAdmin;
const ids = () =>
  admin()
    .list({ limit: 100 })
    .map((dead) => dead.id);

/** A service that has parked a message with the text `poison`, which blocks some others of its key. */
async function withBlocked(...texts: string[]): Promise<Set<string>> {
  const refused = new Set(["poison"]);
  service = new TestService(({ text }) => {
    if (refused.has(text)) throw new DomainError(`no ${text}`);
    if (fails) throw new Error("for now");
    onLetter(text);
  });
  service.kit.start();
  await service.publish(letter("a", "poison"), ...texts.map((text) => letter("a", text)));
  await eventually(() => ids().length === texts.length + 1);
  return refused;
}

test("a replay takes effect once, and the messages that were blocked follow in order, new ones included", async () => {
  const refused = await withBlocked("1", "2", "3");
  refused.clear();
  const [head = 0] = ids();
  const replay = admin().replay([head], "operator");
  await service.publish(letter("a", "4"));
  expect(await replay).toEqual([{ id: head, outcome: "handled" }]);
  await eventually(() => service.applied().length === 5);
  expect(service.applied()).toEqual(["a:poison", "a:1", "a:2", "a:3", "a:4"]);
  expect(ids()).toEqual([]);
  await service.publish(letter("a", "5"));
  await eventually(() => service.applied().at(-1) === "a:5");
});

test("a replay that is refused changes only the record of the dead letter", async () => {
  await withBlocked("1");
  const [head = 0] = ids();
  expect(await admin().replay([head], "operator")).toEqual([
    { id: head, outcome: "failed", detail: "no poison" },
  ]);
  expect(admin().show(head)).toMatchObject({ attempts: 2, replays: 1, parkedOfKey: 2, reason: "domain" });
  expect(service.applied()).toEqual([]);
});

test("a replay that fails with an error that may pass records the tries of its life, not exhausted retries", async () => {
  const refused = await withBlocked();
  const [id = 0] = ids();
  refused.clear();
  fails = true;
  expect(await admin().replay([id], "operator")).toEqual([{ id, outcome: "failed", detail: "for now" }]);
  expect(admin().show(id)).toMatchObject({ reason: "failed", error: "for now", attempts: 2 });
  service.database.sql.run("UPDATE dead_letters SET attempts = ?", [defaultRetryPolicy.attempts - 1]);
  await admin().replay([id], "operator");
  expect(admin().show(id)).toMatchObject({
    reason: "retries-exhausted",
    attempts: defaultRetryPolicy.attempts,
  });
  fails = false;
  expect(await admin().replay([id], "operator")).toEqual([{ id, outcome: "handled" }]);
});

test("a message that ended three processes while it was replayed is not handled again", async () => {
  const refused = await withBlocked();
  const [id = 0] = ids();
  refused.clear();
  const { topic, partition, offset } = admin().show(id);
  await service.kit.stop();
  service.database.sql.run("INSERT INTO attempts VALUES (?, ?, ?, 3)", [topic, partition, offset]);
  await service.crash();
  expect(await admin().replay([id], "operator")).toMatchObject([{ id, outcome: "failed" }]);
  expect(admin().show(id)).toMatchObject({ reason: "crash", attempts: 4 });
  expect(service.applied()).toEqual([]);
  // The count begins again: the operator may have changed the code.
  expect(await admin().replay([id], "operator")).toEqual([{ id, outcome: "handled" }]);
});

test("a released message that fails is retried, blocked meanwhile, and its tries are counted", async () => {
  const refused = await withBlocked("1", "2");
  const [head = 0, second = 0] = ids();
  refused.clear();
  const failedTwice = Promise.withResolvers<void>();
  onLetter = (text) => {
    if (text !== "1") return;
    const { attempts } = admin().show(second);
    if (attempts < 2) throw new Error("for now");
    failedTwice.resolve();
  };
  await admin().replay([head], "operator");
  await failedTwice.promise;
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:poison", "a:1", "a:2"]);
});

test("a blocked message is not replayed", async () => {
  await withBlocked("1");
  const [head, second = 0] = ids();
  expect(await admin().replay([second], "operator")).toEqual([
    { id: second, outcome: "refused", detail: `${second} is blocked by ${head}`, refusal: "blocked" },
  ]);
  expect(service.applied()).toEqual([]);
});

test("one request replays a thousand, and a message that blocks nothing is blocked by none", async () => {
  await withBlocked();
  const unknown = { ...letter("a", "x"), type: "test.unknown.v1" };
  await service.broker.publish([
    { topic: letters.name, key: "a", value: JSON.stringify(unknown), headers: {} },
  ]);
  await eventually(() => ids().length === 2);
  const missing = Array.from({ length: 1_000 }, (_, index) => 1_000 + index);
  const results = await admin().replay([ids()[1] ?? 0, ...missing], "operator");
  expect(results).toHaveLength(1_000);
  expect(results[0]).toMatchObject({
    outcome: "failed",
    detail: expect.stringContaining("not defined here"),
  });
});

test("replays of one dead letter are bounded", async () => {
  await withBlocked();
  const [head = 0] = ids();
  for (let i = 0; i < MAX_REPLAYS; i++) await admin().replay([head], "operator");
  expect((await admin().replay([head], "operator"))[0]).toMatchObject({ outcome: "refused" });
  expect(admin().show(head).replays).toBe(MAX_REPLAYS);
});

test("a dry run reports what it would do, and changes nothing", async () => {
  const refused = await withBlocked("1");
  refused.clear();
  const [head = 0, second = 0] = ids();
  expect(await admin().replay([head, second, 999], "operator", true)).toMatchObject([
    { id: head, outcome: "would-replay" },
    { id: second, outcome: "refused" },
    { id: 999, outcome: "refused" },
  ]);
  expect(ids()).toEqual([head, second]);
  expect(admin().show(head)).toMatchObject({ replays: 0, actions: [] });
});

test("an edit is checked against schema and key; the original is kept; the replay uses the edit", async () => {
  service = new TestService();
  service.kit.start();
  const broken = { ...letter("a", "x"), data: { name: "a", text: 7 } };
  await service.broker.publish([
    { topic: letters.name, key: "a", value: JSON.stringify(broken), headers: {} },
  ]);
  await service.publish(letter("a", "after"));
  await eventually(() => ids().length === 2);
  const [head = 0] = ids();
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
  expect(await failureOf(admin().edit(head, bytes(broken), "operator"))).toMatch("/text");
  expect(await failureOf(admin().edit(head, Buffer.from("rubbish"), "operator"))).toMatch("not JSON");
  expect(await failureOf(admin().edit(head, bytes(letter("b", "elsewhere")), "operator"))).toMatch(
    "the subject b is not the key of the record, a",
  );
  await admin().edit(head, bytes({ ...broken, data: { name: "a", text: "edited" } }), "operator");
  expect(admin().show(head).decoded).toMatchObject({ message: { data: { text: "edited" } } });
  expect(JSON.parse(Buffer.from(admin().show(head).value ?? []).toString())).toEqual(broken);
  await admin().replay([head], "operator");
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:edited", "a:after"]);
});

test("discarding takes a reason, and releases what was blocked", async () => {
  await withBlocked("1", "2");
  const [head = 0] = ids();
  await admin().discard(head, "sent by mistake", "operator");
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
  expect(service.database.sql.query("SELECT action, actor, detail FROM dead_letter_actions").all()).toEqual([
    { action: "discard", actor: "operator", detail: expect.stringContaining("sent by mistake") },
  ]);
  expect(() => admin().show(head)).toThrow("no dead letter");
});

test("the newest hundred thousand actions are kept", async () => {
  await withBlocked();
  const { sql } = service.database;
  for (const id of [1, 2, 100_001]) {
    sql.run("INSERT INTO dead_letter_actions VALUES (?, 7, 'edit', 'operator', '', 0)", [id]);
  }
  await admin().discard(ids()[0] ?? 0, "sent by mistake", "operator");
  expect(sql.query("SELECT id FROM dead_letter_actions ORDER BY id").values()).toEqual([
    [100_001],
    [100_002],
  ]);
});

test("a discarded message stays discarded: its second copy, which it blocked, has no effect", async () => {
  const refused = await withBlocked();
  const [head = 0] = ids();
  const poison = admin().show(head).value;
  await service.broker.publish([{ topic: letters.name, key: "a", value: poison, headers: {} }]);
  await service.publish(letter("a", "1"));
  await eventually(() => ids().length === 3);
  // From now on the copy would take effect.
  refused.clear();
  await admin().discard(head, "sent by mistake", "operator");
  await eventually(() => ids().length === 0);
  expect(service.applied()).toEqual(["a:1"]);
});

test("after a discard of an edited message, neither the received nor the edited message has an effect", async () => {
  const refused = await withBlocked();
  const [head = 0] = ids();
  const received = Buffer.from(admin().show(head).value ?? []);
  const edited = Buffer.from(JSON.stringify(letter("a", "edited")));
  await admin().edit(head, edited, "operator");
  await admin().discard(head, "sent by mistake", "operator");
  refused.clear();
  for (const value of [received, edited]) {
    await service.broker.publish([{ topic: letters.name, key: "a", value, headers: {} }]);
  }
  await eventually(() => service.kit.consumer.counts.duplicate === 2);
  expect(service.applied()).toEqual([]);
});

test("after the replay of an edited message, a second copy of the received one has no effect", async () => {
  const refused = await withBlocked();
  const [head = 0] = ids();
  const received = admin().show(head).value;
  await service.broker.publish([{ topic: letters.name, key: "a", value: received, headers: {} }]);
  await eventually(() => ids().length === 2);
  refused.clear();
  await admin().edit(head, Buffer.from(JSON.stringify(letter("a", "edited"))), "operator");
  expect(await admin().replay([head], "operator")).toEqual([{ id: head, outcome: "handled" }]);
  await eventually(() => ids().length === 0);
  expect(service.applied()).toEqual(["a:edited"]);
});

test("20,000 blocked messages are released with a constant number of indexed statements each", async () => {
  const BLOCKED = 20_000;
  service = new TestService();
  const { sql } = service.database;
  const insert = sql.prepare(
    `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, attempts, parked_at)
     VALUES ('letters', 0, ?, 'a', ?, '{}', ?, 'x', 0, 0)`,
  );
  sql.transaction(() => {
    for (let i = 0; i <= BLOCKED; i++) {
      insert.run(i, Buffer.from(JSON.stringify(letter("a", String(i)))), i === 0 ? "domain" : "blocked");
    }
  })();
  const executions = new Map<string, number>();
  const prepare = sql.prepare.bind(sql);
  sql.prepare = (text: string) => {
    const statement = prepare(text);
    for (const method of ["run", "get", "all"] as const) {
      const original = statement[method].bind(statement) as (...parameters: never[]) => never;
      statement[method] = (...parameters: never[]) => {
        executions.set(text, (executions.get(text) ?? 0) + 1);
        return original(...parameters);
      };
    }
    return statement as never;
  };
  await service.restart();
  executions.clear();
  const [head = 0] = ids();
  await admin().replay([head], "operator");
  await eventually(() => service.kit.deadLetters.count() === 0);
  expect(service.applied()).toHaveLength(BLOCKED + 1);
  expect(service.applied().at(-1)).toBe(`a:${BLOCKED}`);
  const onLetters = [...executions].filter(([text]) => text.includes("FROM dead_letters"));
  expect(Math.max(...onLetters.map(([, count]) => count))).toBeLessThanOrEqual(4 * (BLOCKED + 1));
  for (const [text] of onLetters.filter(([, count]) => count >= BLOCKED)) {
    const plan = sql.query<{ detail: string }, null[]>(`EXPLAIN QUERY PLAN ${text}`);
    const details = plan.all(...Array.from({ length: text.split("?").length - 1 }, () => null));
    expect(details.map(({ detail }) => detail).join()).toMatch(
      /^SEARCH dead_letters USING (INDEX|INTEGER PRIMARY KEY|COVERING INDEX)/,
    );
  }
});

test("one key cannot use up the space of all: its partition waits, the others go on", async () => {
  service = new TestService(({ text }) => {
    if (text === "poison") throw new DomainError("no poison");
  });
  const { sql } = service.database;
  sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
     INSERT INTO dead_letters (topic, partition, offset, key, headers, reason, error, attempts, parked_at)
     SELECT 'letters', 0, i, 'a', '{}', iif(i = 1, 'domain', 'blocked'), 'x', 1, 0 FROM n`,
  );
  await service.restart();
  await service.publish(letter("a", "last place"), letter("a", "no place"));
  const names = Array.from({ length: 20 }, (_, i) => `other ${i}`);
  const partitionOf = (name: string) =>
    service.broker.records(letters.name).find(({ key }) => key === name)?.partition;
  await service.publish(...names.map((name) => letter(name, "poison")));
  const elsewhere = names.filter((name) => partitionOf(name) !== partitionOf("a"));
  await eventually(() => admin().list({ limit: 100, reason: "domain" }).length === elsewhere.length + 1);
  const countOfA = () => sql.query("SELECT count(*) AS n FROM dead_letters WHERE key = 'a'").get();
  expect(countOfA()).toEqual({ n: 10_000 });
  await eventually(() => service.kit.partitionStops.countByReason()["dead-letters-full"] === 1);
  // As soon as there is a place, the partition goes on by itself.
  sql.run("DELETE FROM dead_letters WHERE key = 'a' AND offset > 5000");
  await eventually(() => admin().list({ limit: 100, reason: "domain" }).length === names.length + 1);
  expect(countOfA()).toEqual({ n: 5_002 });
});

test("dead letters of unknown type beyond the bound are deleted, with a warning and a count", async () => {
  const warnings: object[] = [];
  let prune: (() => void) | undefined;
  const runtime = {
    ...systemRuntime,
    after: (delayMs: number, callback: () => void) => {
      if (delayMs === 60_000) prune = callback;
      return systemRuntime.after(delayMs, callback);
    },
  };
  const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
  service = new TestService(undefined, { runtime, log });
  service.database.sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10007)
     INSERT INTO dead_letters (topic, partition, offset, key, headers, reason, error, attempts, parked_at)
     SELECT 'letters', 0, i, 'a', '{}', 'unknown-type', 'x', 1, 0 FROM n`,
  );
  await service.restart();
  prune?.();
  await eventually(() => service.kit.deadLetters.count() === 10_000);
  expect(service.kit.deadLetters.dropped).toBe(7);
  expect(warnings).toEqual([{ dropped: 7 }]);
});

test("a released message that is refused is parked, and the later ones of its key stay blocked", async () => {
  const refused = await withBlocked("1", "second poison", "2");
  refused.clear();
  refused.add("second poison");
  const [head = 0] = ids();
  await admin().replay([head], "operator");
  await eventually(() => admin().list({ limit: 1, reason: "domain" }).length === 1);
  expect(service.applied()).toEqual(["a:poison", "a:1"]);
  expect(
    admin()
      .list({ limit: 10 })
      .map((dead) => dead.reason),
  ).toEqual(["domain", "blocked"]);
});

test("a release that a crash interrupts continues at the next start", async () => {
  const refused = await withBlocked("1", "2");
  refused.clear();
  service.database.sql.run("DELETE FROM dead_letters WHERE reason = 'domain'");
  await service.crash();
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

test("the replay of a message that was handled before is a duplicate", async () => {
  service = new TestService();
  service.kit.start();
  const one = letter("a", "1");
  await service.publish(one);
  await eventually(() => service.applied().length === 1);
  service.database.sql.run(
    `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, attempts, parked_at)
     VALUES ('letters', 0, 0, 'a', ?, '{}', 'retries-exhausted', 'x', 1, 0)`,
    [Buffer.from(JSON.stringify(one))],
  );
  await service.restart();
  const [id = 0] = ids();
  expect(await admin().replay([id], "operator")).toEqual([{ id, outcome: "duplicate" }]);
  expect(service.applied()).toEqual(["a:1"]);
});

test("dead letters are found by topic, key, reason, error and age", async () => {
  await withBlocked("1");
  const found = (filter: object) => admin().list({ limit: 10, ...filter }).length;
  expect(found({ topic: "letters", key: "a" })).toBe(2);
  expect(found({ topic: "answers" })).toBe(0);
  expect(found({ reason: "blocked" })).toBe(1);
  expect(found({ error: "no poison" })).toBe(1);
  expect(found({ olderThanMs: 3_600_000 })).toBe(0);
  expect(found({ after: ids()[0] })).toBe(1);
  expect(admin().list({ limit: 1 })).toHaveLength(1);
});

test("summaries are without bytes; candidates for a replay are those that are not just blocked", async () => {
  await withBlocked("1", "2");
  const [head = 0, second = 0] = ids();
  expect(admin().summaries({ limit: 2 })).toMatchObject([
    { id: head, key: "a", reason: "domain", edited: false, bytes: expect.any(Number) },
    { id: second, reason: "blocked" },
  ]);
  expect(admin().summaries({ limit: 1 })[0]).not.toContainKeys(["value", "stack", "headers"]);
  expect(admin().candidates({ limit: 10 })).toEqual({ ids: [head], left: 0 });
  expect(admin().candidates({ limit: 1, reason: "blocked" })).toEqual({ ids: [second], left: 1 });
  expect(service.kit.deadLetters.countByReason()).toEqual(
    new Map([
      ["blocked", 2],
      ["domain", 1],
    ]),
  );
});

test("messages that an earlier version parked under the reason `behind` are blocked, and released", async () => {
  const database = openDatabase(":memory:");
  migrate(database, "messaging", kitMigrations.slice(0, 2));
  database.sql.run(
    `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, attempts, parked_at)
     VALUES ('letters', 0, 0, 'a', ?, '{}', 'behind', 'an earlier message of its key is parked', 0, 0)`,
    [Buffer.from(JSON.stringify(letter("a", "1")))],
  );
  migrate(database, "messaging", kitMigrations);
  expect(database.sql.query("SELECT reason FROM dead_letters").all()).toEqual([{ reason: "blocked" }]);
  service = new TestService(undefined, { database });
  service.kit.start();
  await eventually(() => service.kit.deadLetters.count() === 0);
  expect(database.sql.query("SELECT count(*) AS handled FROM inbox").get()).toEqual({ handled: 1 });
});
