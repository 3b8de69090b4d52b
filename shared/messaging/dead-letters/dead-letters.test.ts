import { afterEach, expect, test } from "bun:test";
import { encode, type Message, message } from "../contract/envelope.ts";
import { migrate, openDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import { kitMigrations } from "../schema.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { Letter, letters, TestService } from "../testing/kit.ts";
import { MAX_REPLAYS } from "./admin.ts";

let service: TestService;
afterEach(() => service.stop());

function letter(name: string, text: string): Message {
  const id = Bun.randomUUIDv7();
  const origin = { id, source: "test", time: new Date().toISOString(), correlationid: id, causationid: id };
  return message(Letter, { name, text }, origin);
}
const publish = (...messages: Message[]) =>
  service.broker.publish(messages.map((envelope) => encode(Letter, envelope)));
const desk = () => service.kit.deadLetterAdmin;
const ids = () =>
  desk()
    .list({ limit: 100 })
    .map((dead) => dead.id);

/** A service that refuses what is on its list, with some messages of one key parked behind a refused one. */
async function withLine(...texts: string[]): Promise<Set<string>> {
  const refused = new Set(["poison"]);
  service = new TestService(({ text }) => {
    if (refused.has(text)) throw new DomainError(`no ${text}`);
  });
  service.kit.start();
  await publish(letter("a", "poison"), ...texts.map((text) => letter("a", text)));
  await eventually(() => ids().length === texts.length + 1);
  return refused;
}

test("a replay takes effect once and those behind it follow in order, also those that come meanwhile", async () => {
  const refused = await withLine("1", "2", "3");
  refused.clear();
  const [head = 0] = ids();
  const replay = desk().replay([head], "operator");
  await publish(letter("a", "4"));
  expect(await replay).toEqual([{ id: head, outcome: "handled" }]);
  await eventually(() => service.applied().length === 5);
  expect(service.applied()).toEqual(["a:poison", "a:1", "a:2", "a:3", "a:4"]);
  expect(ids()).toEqual([]);
  await publish(letter("a", "5"));
  await eventually(() => service.applied().at(-1) === "a:5");
});

test("a replay that fails changes nothing but what is known of the letter", async () => {
  await withLine("1");
  const [head = 0] = ids();
  expect(await desk().replay([head], "operator")).toEqual([
    { id: head, outcome: "failed", detail: "no poison" },
  ]);
  expect(desk().show(head)).toMatchObject({ attempts: 2, replays: 1, lineLength: 2, reason: "domain" });
  expect(service.applied()).toEqual([]);
});

test("one that waits behind another is not replayed before it", async () => {
  await withLine("1");
  const [head, second = 0] = ids();
  expect(await desk().replay([second], "operator")).toEqual([
    { id: second, outcome: "refused", detail: `${second} waits behind ${head}`, refusal: "blocked" },
  ]);
  expect(service.applied()).toEqual([]);
});

test("replays of one letter are bounded", async () => {
  await withLine();
  const [head = 0] = ids();
  for (let i = 0; i < MAX_REPLAYS; i++) await desk().replay([head], "operator");
  expect((await desk().replay([head], "operator"))[0]).toMatchObject({ outcome: "refused" });
  expect(desk().show(head).replays).toBe(MAX_REPLAYS);
});

test("a dry run says what it would do and does nothing", async () => {
  const refused = await withLine("1");
  refused.clear();
  const [head = 0, second = 0] = ids();
  expect(await desk().replay([head, second, 999], "operator", true)).toMatchObject([
    { id: head, outcome: "would-replay" },
    { id: second, outcome: "refused" },
    { id: 999, outcome: "refused" },
  ]);
  expect(ids()).toEqual([head, second]);
  expect(desk().show(head)).toMatchObject({ replays: 0, actions: [] });
});

test("an edit is checked against the schema and the key; what came is kept beside it; the replay uses it", async () => {
  service = new TestService();
  service.kit.start();
  const broken = { ...letter("a", "x"), data: { name: "a", text: 7 } };
  await service.broker.publish([
    { topic: letters.name, key: "a", value: JSON.stringify(broken), headers: {} },
  ]);
  await publish(letter("a", "after"));
  await eventually(() => ids().length === 2);
  const [head = 0] = ids();
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
  expect(await failureOf(desk().edit(head, bytes(broken), "operator"))).toMatch("/text");
  expect(await failureOf(desk().edit(head, Buffer.from("rubbish"), "operator"))).toMatch("not JSON");
  expect(await failureOf(desk().edit(head, bytes(letter("b", "elsewhere")), "operator"))).toMatch(
    "must stay a",
  );
  await desk().edit(head, bytes({ ...broken, data: { name: "a", text: "mended" } }), "operator");
  expect(desk().show(head).decoded).toMatchObject({ message: { data: { text: "mended" } } });
  expect(JSON.parse(Buffer.from(desk().show(head).value ?? []).toString())).toEqual(broken);
  await desk().replay([head], "operator");
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:mended", "a:after"]);
});

test("discarding takes a reason, and those behind it go on", async () => {
  await withLine("1", "2");
  const [head = 0] = ids();
  await desk().discard(head, "sent by mistake", "operator");
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
  expect(service.database.sql.query("SELECT action, actor, detail FROM dead_letter_actions").all()).toEqual([
    { action: "discard", actor: "operator", detail: expect.stringContaining("sent by mistake") },
  ]);
  expect(() => desk().show(head)).toThrow("no dead letter");
});

test("one that fails on its way out is parked, and those behind it go on waiting", async () => {
  const refused = await withLine("1", "second poison", "2");
  refused.clear();
  refused.add("second poison");
  const [head = 0] = ids();
  await desk().replay([head], "operator");
  await eventually(() => desk().list({ limit: 1, reason: "domain" }).length === 1);
  expect(service.applied()).toEqual(["a:poison", "a:1"]);
  expect(
    desk()
      .list({ limit: 10 })
      .map((dead) => dead.reason),
  ).toEqual(["domain", "blocked"]);
});

test("a process that dies while a line is released goes on with it at its next start", async () => {
  const refused = await withLine("1", "2");
  refused.clear();
  service.database.sql.run("DELETE FROM dead_letters WHERE reason = 'domain'");
  await service.crash();
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

test("a letter that was handled before is not handled again by its replay", async () => {
  service = new TestService();
  service.kit.start();
  const one = letter("a", "1");
  await publish(one);
  await eventually(() => service.applied().length === 1);
  service.database.sql.run(
    `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, attempts, parked_at)
     VALUES ('letters', 0, 0, 'a', ?, '{}', 'retries-exhausted', 'x', 1, 0)`,
    [Buffer.from(JSON.stringify(one))],
  );
  await service.restart();
  const [id = 0] = ids();
  expect(await desk().replay([id], "operator")).toEqual([{ id, outcome: "duplicate" }]);
  expect(service.applied()).toEqual(["a:1"]);
});

test("letters are found by topic, key, reason, error and age", async () => {
  await withLine("1");
  const found = (filter: object) => desk().list({ limit: 10, ...filter }).length;
  expect(found({ topic: "letters", key: "a" })).toBe(2);
  expect(found({ topic: "answers" })).toBe(0);
  expect(found({ reason: "blocked" })).toBe(1);
  expect(found({ error: "no poison" })).toBe(1);
  expect(found({ olderThanMs: 3_600_000 })).toBe(0);
  expect(found({ after: ids()[0] })).toBe(1);
  expect(desk().list({ limit: 1 })).toHaveLength(1);
});

test("a page of letters comes without their bytes; what is to be replayed are those that something is wrong with", async () => {
  await withLine("1", "2");
  const [head = 0, second = 0] = ids();
  expect(desk().summaries({ limit: 2 })).toMatchObject([
    { id: head, key: "a", reason: "domain", edited: false, bytes: expect.any(Number) },
    { id: second, reason: "blocked" },
  ]);
  expect(desk().summaries({ limit: 1 })[0]).not.toContainKeys(["value", "stack", "headers"]);
  expect(desk().candidates({ limit: 10 })).toEqual({ ids: [head], left: 0 });
  expect(desk().candidates({ limit: 1, reason: "blocked" })).toEqual({ ids: [second], left: 1 });
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
