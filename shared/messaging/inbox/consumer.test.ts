import { afterEach, expect, test } from "bun:test";
import { define } from "../contract/define.ts";
import { DomainError, UsageError } from "../errors.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { Answer, definitions, Letter, letter, letters, TestService } from "../testing/kit.ts";
import type { Batch, SubscribeOptions } from "../transport/transport.ts";
import type { Transaction } from "../unit-of-work.ts";
import { on } from "./inbox.ts";

let service: TestService;
afterEach(() => service.stop());

const fast = { backoff: { firstMs: 1, mostMs: 2 }, attempts: 3 };

const garbage = (key: string | null, value: Uint8Array | string | null) =>
  service.broker.publish([{ topic: letters.name, key, value, headers: { from: "nowhere" } }]);
const reasons = () => service.kit.deadLetterAdmin.list({ limit: 100 }).map((dead) => dead.reason);

test("a message takes effect once, however often it is delivered", async () => {
  service = new TestService();
  service.kit.start();
  const one = letter("a", "1");
  await service.publish(one, one, letter("a", "2"), one);
  await service.publish(one);
  await eventually(() => service.kit.consumer.counts.duplicate === 3);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

test("effects, emitted messages and the offset survive a restart together", async () => {
  service = new TestService();
  service.kit.start();
  await service.publish(letter("a", "1"), letter("b", "2"));
  await eventually(() => service.applied().length === 2);
  await service.restart();
  await service.publish(letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.kit.consumer.counts).toMatchObject({ handled: 1, duplicate: 0 });
});

test("what cannot be decoded is parked as it was read, and does not stop its partition", async () => {
  service = new TestService();
  service.kit.start();
  const wrong = { ...letter("w", "x"), data: { name: "w", text: 7 } };
  const unknown = { ...letter("u", "x"), type: "test.unheard-of.v1" };
  await garbage("g", new Uint8Array([0xff, 0x00, 0xfe]));
  await garbage("j", '{"no":"CloudEvent"}');
  await garbage("n", null);
  await service.publish(wrong, unknown);
  for (const name of ["g2", "j2", "n2", "w2", "u"]) await service.publish(letter(name, "fine"));
  await eventually(() => service.applied().length === 5);
  expect(reasons().sort()).toEqual(["schema", "undecodable", "undecodable", "undecodable", "unknown-type"]);
  const first = service.kit.deadLetterAdmin.list({ limit: 100 }).find((dead) => dead.key === "g");
  expect(first).toMatchObject({ topic: "letters", headers: { from: "nowhere" }, attempts: 1 });
  expect(Buffer.from(first?.value ?? [])).toEqual(Buffer.from([0xff, 0x00, 0xfe]));
  expect(service.kit.consumer.counts.parked).toBe(5);
});

test("a message on another topic, from another source or under another key has no effect and blocks nothing", async () => {
  const { kind, source, data } = Letter;
  const topic = { ...letters, name: "others" };
  const Other = define({ kind, source, data, topic, key: "name", type: "test.other.v1" });
  const effects: string[] = [];
  const other = on(Other, ({ data }) => void effects.push(data.text));
  const store = on(Letter, ({ data }) => void effects.push(data.text));
  const options = { definitions: [...definitions, Other], handlers: [store, other] };
  service = new TestService(undefined, options, [Other.topic]);
  service.kit.start();
  const a = (changes: object) => JSON.stringify({ ...letter("a", "forged"), ...changes });
  await garbage("a", a({ type: Other.type }));
  await garbage("a", a({ source: "mallory" }));
  await garbage("a", a({ subject: "b", data: { name: "b", text: "forged" } }));
  await garbage(null, a({}));
  await service.publish(letter("a", "genuine"));
  await eventually(() => reasons().length === 4 && effects.length === 1);
  expect(reasons().sort()).toEqual(["wrong-key", "wrong-key", "wrong-source", "wrong-topic"]);
  expect(effects).toEqual(["genuine"]);
  for (const { id } of service.kit.deadLetterAdmin.list({ limit: 9 })) {
    await service.kit.deadLetterAdmin.replay([id], "operator");
  }
  expect(reasons()).toHaveLength(4);
  expect(effects).toEqual(["genuine"]);
});

test("foreign messages with one id from two sources both take effect; the trace of one travels on", async () => {
  const handler = on(Letter, ({ data }, transaction) => {
    transaction.emit(Answer, data);
  });
  service = new TestService(undefined, { handlers: [handler] });
  service.kit.start();
  const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "v=1" };
  const foreign = (source: string) =>
    JSON.stringify({ ...letter("a", source), ...trace, id: "1", source, subject: undefined });
  for (const source of ["reader/1", "reader/2", "reader/1"]) await garbage("a", foreign(source));
  await eventually(() => service.broker.records("answers").length === 2);
  await eventually(() => service.kit.consumer.counts.duplicate === 1);
  for (const { headers, value } of service.broker.records("answers")) {
    expect(headers).toMatchObject(trace);
    expect(JSON.parse(String(value))).toMatchObject({ ...trace, causationid: "1" });
  }
  expect(service.kit.deadLetterAdmin.list({ limit: 9 })).toEqual([]);
});

test("a tombstone is skipped and counted on a compacted topic, also if its key is blocked", async () => {
  const { kind, source, data } = Letter;
  const topic = { name: "states", key: "name", partitions: 1, config: { "cleanup.policy": "compact" } };
  const State = define({ kind, source, data, topic, key: "name", type: "test.state.v1" });
  const options = { definitions: [...definitions, State], handlers: [on(State, () => {})] };
  service = new TestService(undefined, options, [topic]);
  service.kit.start();
  const record = (value: string | null) => ({ topic: "states", key: "a", value, headers: {} });
  await service.broker.publish([record("garbage"), record(null)]);
  await eventually(() => service.kit.consumer.counts.skipped === 1);
  expect(reasons()).toEqual(["undecodable"]);
});

test("a copy of each dead letter goes to the topic of dead letters, with the reason in its headers", async () => {
  service = new TestService();
  service.kit.start();
  await garbage("g", "rubbish");
  await eventually(() => service.broker.records("reader.dead-letters").length === 1);
  expect(service.broker.records("reader.dead-letters")[0]?.headers).toMatchObject({
    from: "nowhere",
    "dead-letter-reason": "undecodable",
  });
});

test("the copy of a large record is cut to what can be sent; the dead letter itself is not", async () => {
  service = new TestService();
  service.kit.start();
  const long = "x".repeat(400 * 1024);
  await service.broker.publish([{ topic: letters.name, key: long, value: long, headers: { long } }]);
  await eventually(() => service.broker.records("reader.dead-letters").length === 1);
  const [copy] = service.broker.records("reader.dead-letters");
  expect(copy).toMatchObject({ key: null, headers: { "dead-letter-reason": "undecodable" } });
  expect(copy?.headers.long).toBeUndefined();
  expect(copy?.value?.byteLength).toBe(256 * 1024);
  const [letter] = service.kit.deadLetterAdmin.list({ limit: 1 });
  expect(letter?.value?.byteLength).toBe(long.length);
  expect(letter?.headers).toEqual({ long });
});

test("a DomainError parks at once, and its work is rolled back", async () => {
  service = new TestService(({ text }) => {
    if (text === "never") throw new DomainError("cannot be");
  });
  service.kit.start();
  await service.publish(letter("a", "never"), letter("b", "fine"));
  await eventually(() => service.applied().length === 1 && reasons().length === 1);
  expect(service.applied()).toEqual(["b:fine"]);
  expect(service.kit.deadLetterAdmin.list({ limit: 1 })[0]).toMatchObject({
    reason: "domain",
    error: "cannot be",
    attempts: 1,
  });
  expect(service.kit.consumer.counts.retried).toBe(0);
});

test("a message that fails is retried, and the later ones of its partition wait", async () => {
  service = new TestService(
    ({ text }) => {
      if (text === "2" && service.kit.consumer.counts.retried < 2) throw new Error("in passing");
    },
    { retry: fast },
  );
  service.kit.start();
  await service.publish(letter("a", "1"), letter("a", "2"), letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:1", "a:2", "a:3"]);
  expect(service.kit.consumer.counts).toMatchObject({ retried: 2, parked: 0 });
});

test("a message that fails too often is parked", async () => {
  service = new TestService(
    ({ text }) => {
      if (text === "poison") throw new Error("always");
    },
    { retry: fast },
  );
  service.kit.start();
  await service.publish(letter("a", "poison"), letter("b", "fine"));
  await eventually(() => service.applied().length === 1 && reasons().length === 1);
  expect(service.kit.deadLetterAdmin.list({ limit: 1 })[0]).toMatchObject({
    reason: "retries-exhausted",
    attempts: 3,
  });
});

test("an asynchronous handler is refused by its type, its message parked at once, its transaction ended", async () => {
  let late: unknown;
  const handle = async ({ data: { text } }: { data: { text: string } }, transaction: Transaction) => {
    await Promise.resolve();
    try {
      transaction.emit(Answer, { name: "a", text });
    } catch (error) {
      late = error;
      throw error;
    }
  };
  // @ts-expect-error a handler that returns a promise
  service = new TestService(undefined, { handlers: [on(Letter, handle)] });
  service.kit.start();
  await service.publish(letter("a", "1"));
  await eventually(() => reasons().length === 1);
  expect(service.kit.deadLetterAdmin.list({ limit: 1 })[0]).toMatchObject({
    reason: "handler-error",
    error: "the handler of test.letter.v1 must be synchronous: it returned a promise",
    attempts: 1,
  });
  expect(late).toBeInstanceOf(UsageError);
  expect(service.kit.consumer.counts).toMatchObject({ handled: 0, retried: 0, parked: 1 });
  expect(service.broker.records("answers")).toEqual([]);
});

test("a stop waits for the transaction under way, not for the rest of a batch, which the next process handles", async () => {
  let nowMs = 0;
  let stopped: Promise<void> | undefined;
  const runtime = { ...systemRuntime, monotonic: () => nowMs };
  service = new TestService(
    () => {
      // Each message uses up the time of its group.
      nowMs += 1_000;
      stopped ??= service.kit.stop();
    },
    { runtime },
  );
  const texts = Array.from({ length: 20 }, (_, index) => String(index));
  await service.publish(...texts.map((text) => letter("a", text)));
  service.kit.start();
  await eventually(() => stopped !== undefined);
  await stopped;
  expect(service.applied()).toEqual(["a:0"]);
  await service.restart();
  await eventually(() => service.applied().length === texts.length);
  expect(service.applied()).toEqual(texts.map((text) => `a:${text}`));
});

test("a message whose handler rolls back is parked, and no other one of its transaction is lost", async () => {
  service = new TestService(({ text }) => {
    if (text === "ends it") service.database.sql.run("ROLLBACK");
  });
  await service.publish(...["1", "2", "ends it", "3", "4"].map((text) => letter("a", text)));
  service.kit.start();
  await eventually(() => reasons().length === 3);
  const [dead] = service.kit.deadLetterAdmin.list({ limit: 1 });
  expect(dead).toMatchObject({
    reason: "handler-error",
    error: "the handler of test.letter.v1 must not end the transaction",
  });
  await service.kit.deadLetterAdmin.discard(dead?.id ?? 0, "a mistake", "operator");
  await eventually(() => reasons().length === 0);
  expect(service.applied()).toEqual(["a:1", "a:2", "a:3", "a:4"]);
});

test("while a message is parked the later ones of its key are blocked, all others are handled", async () => {
  service = new TestService(({ text }) => {
    if (text === "poison") throw new DomainError("no");
  });
  service.kit.start();
  await service.publish(
    letter("a", "1"),
    letter("a", "poison"),
    letter("a", "2"),
    letter("b", "1"),
    letter("a", "3"),
  );
  await eventually(() => reasons().length === 3 && service.applied().length === 2);
  expect(service.applied().sort()).toEqual(["a:1", "b:1"]);
  expect(reasons()).toEqual(["domain", "blocked", "blocked"]);
});

/** Another service, whose broker is new and whose offsets are those of the one before. */
function withOffsetsOf(before: TestService): TestService {
  const after = new TestService();
  const rows = before.database.sql.query("SELECT * FROM consumer_offsets").values() as [
    string,
    number,
    number,
    string,
    number,
  ][];
  for (const row of rows) after.database.sql.run("INSERT INTO consumer_offsets VALUES (?, ?, ?, ?, ?)", row);
  before.database.close();
  return after;
}

/** Three records of the old log were read: the new one is shorter, ends at the last of them, is as long, or longer. */
test.each([1, 2, 3, 5])(
  "a topic that was created again, now with %d records, is read from its beginning",
  async (count) => {
    service = new TestService();
    service.kit.start();
    await service.publish(letter("a", "1"), letter("a", "2"), letter("a", "3"));
    await eventually(() => service.applied().length === 3);
    await service.kit.stop();
    service = withOffsetsOf(service);
    const texts = ["n1", "n2", "n3", "n4", "n5"].slice(0, count);
    await service.publish(...texts.map((text) => letter("a", text)));
    service.kit.start();
    await eventually(() => service.applied().length === count);
    expect(service.applied()).toEqual(texts.map((text) => `a:${text}`));
  },
);

test("a topic that was created again is read from its beginning, with a copy of the last record where that was", async () => {
  service = new TestService();
  service.kit.start();
  const last = letter("a", "3");
  await service.publish(letter("a", "1"), letter("a", "2"), last);
  const sentMs = Date.now();
  await eventually(() => service.applied().length === 3 && Date.now() > sentMs);
  await service.kit.stop();
  service = withOffsetsOf(service);
  await service.publish(letter("a", "n1"), letter("a", "n2"), last);
  service.kit.start();
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:n1", "a:n2", "a:3"]);
});

test("a fingerprint that version 0.1 stored, without a time, is of the same log", async () => {
  service = new TestService();
  service.kit.start();
  await service.publish(letter("a", "1"), letter("a", "2"));
  await eventually(() => service.applied().length === 2);
  await service.kit.stop();
  service.database.sql.run(
    "UPDATE consumer_offsets SET last_record = substr(last_record, 1, instr(last_record, '@') - 1)",
  );
  // If it read the log anew, it would apply them again.
  service.database.sql.run("DELETE FROM inbox");
  await service.restart();
  await service.publish(letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:1", "a:2", "a:3"]);
});

test("a message during which three processes ended is parked", async () => {
  service = new TestService();
  const poison = letter("a", "kills");
  await service.publish(poison, letter("a", "later"), letter("b", "fine"));
  const partition = service.broker.records(letters.name).find((record) => record.key === "a")?.partition ?? 0;
  const offset = service.broker.log(letters.name, partition).findIndex((record) => record.key === "a");
  // Three processes ended while they handled it: their records are still there.
  service.database.sql.run("UPDATE process SET running = 1");
  service.database.sql.run("INSERT INTO attempts VALUES ('letters', ?, ?, 3)", [partition, offset]);
  await service.crash();
  await eventually(() => service.applied().length === 1 && reasons().length === 2);
  expect(service.applied()).toEqual(["b:fine"]);
  expect(reasons()).toEqual(["crash", "blocked"]);
  expect(service.database.sql.query("SELECT * FROM attempts").all()).toEqual([]);
});

test("after a crash a batch that only identifies the log is not taken for the first one", async () => {
  service = new TestService();
  service.kit.start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  const [last] = service.broker.records(letters.name);
  service.database.sql.run("INSERT INTO attempts VALUES ('letters', ?, ?, 3)", [
    last?.partition ?? 0,
    (last?.offset ?? 0) + 1,
  ]);
  let batches = 0;
  const { broker } = service;
  const subscribe = broker.subscribe.bind(broker);
  broker.subscribe = (options) =>
    subscribe({ ...options, handle: (batch) => options.handle(batch).finally(() => batches++) });
  await service.crash();
  await eventually(() => batches === 1);
  await service.publish(letter("a", "kills"));
  await eventually(() => batches === 2);
  expect(reasons()).toEqual(["crash"]);
});

test("after a crash the first messages are handled one by one, and no record of them is left", async () => {
  service = new TestService();
  await service.crash();
  await service.publish(letter("a", "1"), letter("a", "2"), letter("b", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.applied("a")).toEqual(["a:1", "a:2"]);
  expect(service.database.sql.query("SELECT * FROM attempts").all()).toEqual([]);
});

test("a record of crashes is about the log that it was made in: not about the same offset of the next one", async () => {
  service = new TestService();
  service.kit.start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  const [{ topic = "", partition = -1 } = {}] = service.broker.records(letters.name);
  service.database.sql.run("INSERT INTO attempts VALUES (?, ?, 0, 3)", [topic, partition]);
  await service.kit.stop();
  service.broker.partition(topic, partition).truncate(0);
  await service.publish(letter("a", "of the next log"));
  await service.crash();
  await eventually(() => service.applied().length === 2);
  expect(reasons()).toEqual([]);
});

test("after a crash a message that fails is retried as often as ever", async () => {
  service = new TestService(
    () => {
      if (service.kit.consumer.counts.retried < 5) throw new Error("in passing");
    },
    { retry: { ...fast, attempts: 10 } },
  );
  await service.publish(letter("a", "1"));
  await service.crash();
  await eventually(() => service.applied().length + reasons().length === 1);
  expect(service.applied()).toEqual(["a:1"]);
});

test("with as many dead letters as may be, the records before the one that cannot be parked are handled", async () => {
  service = new TestService();
  service.database.sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
     INSERT INTO dead_letters (topic, partition, offset, key, headers, reason, error, attempts, parked_at)
     SELECT 'letters', 0, i, 'key ' || i, '{}', 'domain', 'no', 1, 0 FROM n`,
  );
  await service.publish(letter("a", "1"));
  await garbage("a", "garbage");
  await service.publish(letter("a", "2"));
  await service.restart();
  await eventually(() => service.applied().length === 1);
  await Bun.sleep(0);
  expect(service.applied()).toEqual(["a:1"]);
  expect(service.kit.deadLetters.count()).toBe(100_000);
  service.database.sql.run("DELETE FROM dead_letters WHERE id > 10");
  await eventually(() => service.kit.deadLetters.count() === 12);
  expect(reasons().slice(-2)).toEqual(["undecodable", "blocked"]);
});

test("when the commit of a batch fails, its partition waits, and the batch takes effect once", async () => {
  const lines: string[] = [];
  const line = (_fields: object, text: string) => void lines.push(text);
  service = new TestService(undefined, { log: { ...silentLogger, warn: line, error: line } });
  const { sql } = service.database;
  await service.publish(letter("a", "1"), letter("a", "2"));
  const run = sql.run.bind(sql);
  let fails = true;
  sql.run = (statement: string, ...rest: never[]) => {
    if (statement === "COMMIT" && fails && service.applied().length === 2) {
      fails = false;
      throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
    }
    return run(statement, ...rest);
  };
  service.kit.start();
  await eventually(() => !fails && service.applied().length === 2);
  expect(lines).toEqual(["nothing can be stored: requests are refused, messages wait"]);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

/** Starts a service that gets its batches from the test. */
function startWithBatches(): SubscribeOptions["handle"] {
  let handle: SubscribeOptions["handle"] = () => Promise.reject(new Error("there is no subscription"));
  const transport = {
    publish: async () => {},
    subscribe: (options: SubscribeOptions) => {
      handle = options.handle;
      return { healthy: () => true, stop: async () => {} };
    },
  };
  service = new TestService(undefined, { transport });
  service.kit.start();
  return (batch) => handle(batch);
}

/** A batch of one record, which is the last one of its log. */
function batchOf(offset: number, text: string, epoch = 0): Batch {
  const place = { topic: letters.name, partition: 0 };
  const value = Buffer.from(JSON.stringify(letter("a", text)));
  const record = { ...place, offset, timestampMs: 0, key: "a", value, headers: {} };
  return { ...place, records: [record], start: 0, end: offset + 1, epoch };
}

test("records of a new leader epoch are handled, also if the record before them comes in a batch of its own", async () => {
  const handle = startWithBatches();
  const [first, second] = [batchOf(0, "0"), batchOf(1, "1", 1)];
  expect(await handle(first)).toEqual({ next: 1 });
  expect(await handle(second)).toEqual({ next: 0 });
  expect(await handle({ ...first, end: 2 })).toEqual({ next: 1 });
  expect(await handle(second)).toEqual({ next: 2 });
  expect(service.applied()).toEqual(["a:0", "a:1"]);
});

test("a log is compared at the last record that was handled, also behind records that cannot be decoded", async () => {
  const handle = startWithBatches();
  const undecodable = { offset: 1, lastOffset: 2, bytes: Buffer.from("?"), cause: "unknown codec" };
  const beginning = { ...batchOf(0, "0"), undecodable, end: 3 };
  expect(await handle(beginning)).toMatchObject({ next: 1 });
  await service.kit.partitionStops.decide({ topic: letters.name, partition: 0 }, "skip", "?", "olga");
  expect(await handle(batchOf(3, "1"))).toEqual({ next: 4 });
  await service.restart();
  // The log was replaced by a longer one, which begins in the same way.
  expect(await handle({ ...beginning, end: 5 })).toEqual({ next: 3 });
  expect(await handle(batchOf(3, "2"))).toEqual({ next: 0 });
});

test("a message that cannot be parked either is left to the transport to deliver again", async () => {
  let handle: SubscribeOptions["handle"] | undefined;
  const transport = {
    publish: async () => {},
    subscribe: (options: SubscribeOptions) => {
      handle = options.handle;
      return { healthy: () => true, stop: async () => {} };
    },
  };
  service = new TestService(
    () => {
      throw new DomainError("no");
    },
    { transport, retry: { ...fast, attempts: 1 } },
  );
  service.kit.start();
  const value = Buffer.from(JSON.stringify(letter("a", "1")));
  const record = {
    topic: letters.name,
    partition: 0,
    offset: 0,
    timestampMs: 0,
    key: "a",
    value,
    headers: {},
  };
  const batch = { topic: letters.name, partition: 0, records: [record], start: 0, end: 1, epoch: 0 };
  service.database.sql.run("ALTER TABLE dead_letters RENAME TO unwritable");
  expect(await failureOf(handle?.(batch) ?? Promise.resolve())).toMatch("no such table");
  service.database.sql.run("ALTER TABLE unwritable RENAME TO dead_letters");
  expect(await handle?.(batch)).toEqual({ next: 1 });
  expect(reasons()).toEqual(["domain"]);
});
