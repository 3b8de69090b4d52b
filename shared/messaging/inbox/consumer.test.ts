import { afterEach, expect, test } from "bun:test";
import { encode, type Message, message } from "../contract/envelope.ts";
import { DomainError } from "../errors.ts";
import { eventually } from "../testing/eventually.ts";
import { Letter, letters, TestService } from "../testing/kit.ts";

let service: TestService;
afterEach(() => service.stop());

const fast = { backoff: { firstMs: 1, mostMs: 2 }, attempts: 3 };

function letter(name: string, text: string, id: string = Bun.randomUUIDv7()): Message {
  const origin = { id, source: "test", time: new Date().toISOString(), correlationid: id, causationid: id };
  return message(Letter, { name, text }, origin);
}
const publish = (...messages: Message[]) =>
  service.broker.publish(messages.map((envelope) => encode(Letter, envelope)));
const garbage = (key: string | null, value: Uint8Array | string | null) =>
  service.broker.publish([{ topic: letters.name, key, value, headers: { from: "nowhere" } }]);
const reasons = () => service.kit.deadLetterAdmin.list({ limit: 100 }).map((dead) => dead.reason);

test("a message takes effect once, however often it is delivered", async () => {
  service = new TestService();
  service.kit.start();
  const one = letter("a", "1");
  await publish(one, one, letter("a", "2"), one);
  await publish(one);
  await eventually(() => service.kit.consumer.counts.duplicate === 3);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

test("effects, emitted messages and the offset survive a restart together", async () => {
  service = new TestService();
  service.kit.start();
  await publish(letter("a", "1"), letter("b", "2"));
  await eventually(() => service.applied().length === 2);
  await service.restart();
  await publish(letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.kit.consumer.counts).toMatchObject({ handled: 1, duplicate: 0 });
});

test("what cannot be decoded is kept as it came, counted, and does not stop its partition", async () => {
  service = new TestService();
  service.kit.start();
  const wrong = { ...letter("w", "x"), data: { name: "w", text: 7 } };
  const unknown = { ...letter("u", "x"), type: "test.unheard-of.v1" };
  await garbage("g", new Uint8Array([0xff, 0x00, 0xfe]));
  await garbage("j", '{"no":"CloudEvent"}');
  await garbage("n", null);
  await publish(wrong, unknown);
  for (const name of ["g2", "j2", "n2", "w2", "u"]) await publish(letter(name, "fine"));
  await eventually(() => service.applied().length === 5);
  expect(reasons().sort()).toEqual(["schema", "undecodable", "undecodable", "undecodable", "unknown-type"]);
  const first = service.kit.deadLetterAdmin.list({ limit: 100 }).find((dead) => dead.key === "g");
  expect(first).toMatchObject({ topic: "letters", headers: { from: "nowhere" }, attempts: 1 });
  expect(Buffer.from(first?.value ?? [])).toEqual(Buffer.from([0xff, 0x00, 0xfe]));
  expect(service.kit.consumer.counts.parked).toBe(5);
});

test("a copy of each dead letter goes to the topic for people, with the reason in its headers", async () => {
  service = new TestService();
  service.kit.start();
  await garbage("g", "rubbish");
  await eventually(() => service.broker.records("reader.dead-letters").length === 1);
  expect(service.broker.records("reader.dead-letters")[0]?.headers).toMatchObject({
    from: "nowhere",
    "dead-letter-reason": "undecodable",
  });
});

test("the copy of a monster is cut, so that it can be sent; the dead letter itself is whole", async () => {
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

test("a DomainError parks at once; its half-done work is undone", async () => {
  service = new TestService(({ text }) => {
    if (text === "never") throw new DomainError("cannot be");
  });
  service.kit.start();
  await publish(letter("a", "never"), letter("b", "fine"));
  await eventually(() => service.applied().length === 1 && reasons().length === 1);
  expect(service.applied()).toEqual(["b:fine"]);
  expect(service.kit.deadLetterAdmin.list({ limit: 1 })[0]).toMatchObject({
    reason: "domain",
    error: "cannot be",
    attempts: 1,
  });
  expect(service.kit.consumer.counts.retried).toBe(0);
});

test("what fails in passing is tried again, and those behind it in its partition wait for it", async () => {
  service = new TestService(
    ({ text }) => {
      if (text === "2" && service.kit.consumer.counts.retried < 2) throw new Error("in passing");
    },
    { retry: fast },
  );
  service.kit.start();
  await publish(letter("a", "1"), letter("a", "2"), letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.applied()).toEqual(["a:1", "a:2", "a:3"]);
  expect(service.kit.consumer.counts).toMatchObject({ retried: 2, parked: 0 });
});

test("what fails too often is parked", async () => {
  service = new TestService(
    ({ text }) => {
      if (text === "poison") throw new Error("always");
    },
    { retry: fast },
  );
  service.kit.start();
  await publish(letter("a", "poison"), letter("b", "fine"));
  await eventually(() => service.applied().length === 1 && reasons().length === 1);
  expect(service.kit.deadLetterAdmin.list({ limit: 1 })[0]).toMatchObject({
    reason: "retries-exhausted",
    attempts: 3,
  });
});

test("while a key is parked the later messages of that key wait behind it, all others flow", async () => {
  service = new TestService(({ text }) => {
    if (text === "poison") throw new DomainError("no");
  });
  service.kit.start();
  await publish(
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

test("a topic that was made anew is read from its beginning", async () => {
  service = new TestService();
  service.kit.start();
  await publish(letter("a", "1"), letter("a", "2"), letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  await service.kit.stop();
  const before = service;
  // Its positions meet a broker whose log begins again, and is longer than what was read of the old one.
  service = new TestService();
  for (const row of before.database.sql.query("SELECT * FROM consumer_offsets").all() as {
    topic: string;
    partition: number;
    next_offset: number;
    last_record: string;
  }[]) {
    service.database.sql.run("INSERT INTO consumer_offsets VALUES (?, ?, ?, ?)", [
      row.topic,
      row.partition,
      row.next_offset,
      row.last_record,
    ]);
  }
  before.database.close();
  await publish(...["n1", "n2", "n3", "n4", "n5"].map((text) => letter("a", text)));
  service.kit.start();
  await eventually(() => service.applied().length === 5);
  expect(service.applied()).toEqual(["a:n1", "a:n2", "a:n3", "a:n4", "a:n5"]);
});

test("after a crash each message is written down before it begins; the third that it takes down parks it", async () => {
  service = new TestService();
  const poison = letter("a", "kills");
  await publish(poison, letter("a", "blocked"), letter("b", "fine"));
  const partition = service.broker.records(letters.name).find((record) => record.key === "a")?.partition ?? 0;
  const offset = service.broker.log(letters.name, partition).findIndex((record) => record.key === "a");
  // Two processes died with it: what they wrote down before is still there.
  service.database.sql.run("UPDATE process SET running = 1");
  service.database.sql.run("INSERT INTO attempts VALUES ('letters', ?, ?, 3)", [partition, offset]);
  await service.crash();
  await eventually(() => service.applied().length === 1 && reasons().length === 2);
  expect(service.applied()).toEqual(["b:fine"]);
  expect(reasons()).toEqual(["crash", "blocked"]);
  expect(service.database.sql.query("SELECT * FROM attempts").all()).toEqual([]);
});

test("a process that was killed handles its first messages one by one and leaves no trace of those that ended", async () => {
  service = new TestService();
  await service.crash();
  await publish(letter("a", "1"), letter("a", "2"), letter("b", "3"));
  await eventually(() => service.applied().length === 3);
  expect(service.applied("a")).toEqual(["a:1", "a:2"]);
  expect(service.database.sql.query("SELECT * FROM attempts").all()).toEqual([]);
});
