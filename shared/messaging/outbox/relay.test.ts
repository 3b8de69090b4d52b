import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { OutboxRefusal } from "../errors.ts";
import { type Logger, type Runtime, silentLogger, systemRuntime } from "../runtime.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { Answer, Letter, TestService } from "../testing/kit.ts";
import {
  type OutgoingRecord,
  PublishError,
  type Publisher,
  type PublishFailure,
} from "../transport/transport.ts";
import { TOPIC_PATIENCE_MS } from "./relay.ts";

let service: TestService;
afterEach(() => service.stop());

/** A broker whose answers the test decides. */
class ScriptedPublisher implements Publisher {
  readonly sends: string[][] = [];
  inFlight = 0;
  mostInFlight = 0;
  answer: (texts: string[]) => Promise<void> = async () => {};

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    const texts = records.map((record) => JSON.parse(Buffer.from(record.value ?? "").toString()).data.text);
    this.sends.push(texts);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      await Bun.sleep(1);
      await this.answer(texts);
    } finally {
      this.inFlight -= 1;
    }
  }
}

function serviceWith(
  publisher: Publisher,
  runtime: Runtime = systemRuntime,
  log: Logger = silentLogger,
): TestService {
  const transport = {
    publish: (records: readonly OutgoingRecord[]) => publisher.publish(records),
    subscribe: () => ({ healthy: () => true, stop: async () => {} }),
  };
  return new TestService(undefined, { transport, runtime, log });
}

test("sends in order, one send at a time, and deletes what was acknowledged", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  service.kit.start();
  for (let i = 0; i < 50; i++) {
    await service.send("a", String(i));
    if (i % 7 === 0) await Bun.sleep(1);
  }
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends.flat()).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  expect(publisher.mostInFlight).toBe(1);
});

test("what was acknowledged is deleted by the next commit, not by one of its own", async () => {
  const publisher = new ScriptedPublisher();
  // No timer fires: nothing but the next commit deletes.
  service = serviceWith(publisher, { ...systemRuntime, after: () => () => {} });
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.sends.length === 1 && publisher.inFlight === 0);
  expect(service.kit.outbox.depth()).toBe(1);
  await service.send("a", "2");
  expect(service.kit.outbox.after(0, 10, 1e6).map(({ seq }) => seq)).toEqual([2]);
});

describe("who waits until the broker has acknowledged what was emitted", () => {
  test("learns that it has, also once it is deleted", async () => {
    const publisher = new ScriptedPublisher();
    const { promise, resolve } = Promise.withResolvers<void>();
    publisher.answer = () => promise;
    service = serviceWith(publisher);
    expect(await service.kit.whenAcknowledged(60_000)).toBe(true);
    service.kit.start();
    await service.send("a", "1");
    let isKnown = false;
    const acknowledged = service.kit.whenAcknowledged(60_000).finally(() => {
      isKnown = true;
    });
    await eventually(() => publisher.inFlight === 1);
    await Bun.sleep(20);
    expect(isKnown).toBe(false);
    resolve();
    expect(await acknowledged).toBe(true);
    // Acknowledged, and not deleted yet.
    expect(await service.kit.whenAcknowledged(0)).toBe(true);
    await service.send("a", "2");
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(await service.kit.whenAcknowledged(0)).toBe(true);
  });

  test("is told after a time, when a send fails, and at the stop", async () => {
    const publisher = new ScriptedPublisher();
    const hanging = Promise.withResolvers<void>();
    publisher.answer = () => hanging.promise;
    service = serviceWith(publisher);
    service.kit.start();
    await service.send("a", "1");
    expect(await service.kit.whenAcknowledged(10)).toBe(false);
    const failing = service.kit.whenAcknowledged(60_000);
    publisher.answer = async () => {
      throw new Error("away");
    };
    hanging.reject(new Error("away"));
    expect(await failing).toBe(false);
    // Nobody waits for a broker that is away.
    expect(await service.kit.whenAcknowledged(60_000)).toBe(false);
    publisher.answer = () => new Promise(() => {});
    await eventually(() => publisher.inFlight === 1);
    const stopped = service.kit.whenAcknowledged(60_000);
    void service.kit.stop();
    expect(await stopped).toBe(false);
  });

  test("is told at once that the broker refuses something", async () => {
    const publisher = new ScriptedPublisher();
    service = serviceWith(publisher);
    service.kit.start();
    const refused = spyOn(service.kit, "refused").mockReturnValue(true);
    expect(await service.kit.whenAcknowledged(60_000)).toBe(false);
    refused.mockRestore();
  });
});

test("a send that fails is repeated, and nothing overtakes it; one line says so, and one that it works again", async () => {
  const publisher = new ScriptedPublisher();
  const lines: string[] = [];
  const add = (_: object, text: string) => void lines.push(text);
  const log = { ...silentLogger, info: add, warn: add };
  service = serviceWith(publisher, systemRuntime, log);
  let failures = 2;
  publisher.answer = async () => {
    if (failures-- > 0) throw new Error("away");
  };
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.sends.length >= 1);
  await service.send("a", "2");
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends[0]).toEqual(["1"]);
  expect(publisher.sends.at(-1)).toEqual(["1", "2"]);
  expect(lines).toEqual([
    "messages cannot be sent, they wait in the outbox: away; it is tried again at least every 5 s",
    "sending works again",
  ]);
  expect(service.kit.healthy()).toBe(true);
});

test("what an earlier process left in the outbox is sent at the start", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  await service.send("a", "left");
  await service.restart();
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends).toEqual([["left"]]);
});

test("an empty outbox does not reuse sequence numbers: nothing is skipped", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => service.kit.outbox.depth() === 0);
  await service.send("a", "2");
  await eventually(() => publisher.sends.flat().includes("2"));
  await eventually(() => service.kit.outbox.depth() === 0);
});

test("a send is bounded in bytes, but has at least one message", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  const large = "x".repeat(200 * 1024);
  await service.kit.unitOfWork.run((transaction) => {
    for (let i = 0; i < 8; i++) transaction.emit(Letter, { name: "a", text: large });
  });
  expect(service.kit.outbox.after(0, 500, 768 * 1024)).toHaveLength(3);
  expect(service.kit.outbox.after(0, 500, 1)).toHaveLength(1);
});

test("stop waits for the send in flight and keeps the rest", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  const { promise, resolve } = Promise.withResolvers<void>();
  publisher.answer = () => promise;
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.inFlight === 1);
  await service.send("a", "2");
  const stopped = service.kit.stop();
  // What stops before the relay has nothing to do here, and has stopped within this turn of the event loop.
  await Bun.sleep(0);
  resolve();
  await stopped;
  expect(publisher.sends).toEqual([["1"]]);
  const left = service.database.sql
    .query<{ count: number }, []>("SELECT count(*) AS count FROM outbox")
    .get();
  expect(left?.count).toBe(1);
});

test("a stop does not wait for a broker that hangs; the records are sent at the next start", async () => {
  const publisher = new ScriptedPublisher();
  const hang = Promise.withResolvers<void>();
  publisher.answer = () => hang.promise;
  service = serviceWith(publisher);
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.sends.length === 1);
  await service.kit.stop();
  expect(publisher.inFlight).toBe(1);
  // Too late: the process that sent it has stopped.
  hang.resolve();
  await service.restart();
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends).toEqual([["1"], ["1"]]);
});

test("sent records whose deletion failed are deleted later, and are not sent again meanwhile", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  service.database.sql.run(
    "CREATE TRIGGER keep BEFORE DELETE ON outbox BEGIN SELECT raise(ABORT, 'the disk fails'); END",
  );
  service.kit.start();
  await service.send("a", "1");
  await service.send("a", "2");
  await eventually(() => publisher.sends.flat().length === 2);
  service.database.sql.run("DROP TRIGGER keep");
  await service.send("a", "3");
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends.flat()).toEqual(["1", "2", "3"]);
});

test("what is emitted while a send fails, or after it, does not end the backoff", async () => {
  const publisher = new ScriptedPublisher();
  let endBackoff: (() => void) | undefined;
  const runtime: Runtime = {
    ...systemRuntime,
    after: (delayMs, callback) => {
      if (delayMs < 25 || delayMs > 50) return systemRuntime.after(delayMs, callback);
      endBackoff = callback;
      return () => {};
    },
  };
  service = serviceWith(publisher, runtime);
  publisher.answer = async () => {
    if (publisher.sends.length > 1) return;
    await service.send("a", "2");
    throw new Error("no broker answers");
  };
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => endBackoff);
  for (const text of ["3", "4"]) await service.send("a", text);
  expect(publisher.sends).toEqual([["1"]]);
  endBackoff?.();
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends).toEqual([["1"], ["1", "2", "3", "4"]]);
});

test("the depth is that of the records which are left, wherever others have gone", async () => {
  service = serviceWith(new ScriptedPublisher());
  const { outbox, unitOfWork } = service.kit;
  for (const name of ["a", "b", "c", "d", "e"]) await service.send(name, "1");
  expect(outbox.depth()).toBe(5);
  const [, second] = outbox.after(0, 5, 1_000_000);
  if (second === undefined) throw new Error("the outbox is empty");
  await unitOfWork.run(({ now }) => outbox.park(second, "too large", now));
  expect(outbox.depth()).toBe(4);
  await unitOfWork.run(() => outbox.acknowledge({ from: 1, to: 1 }));
  expect(outbox.depth()).toBe(3);
  await unitOfWork.run(() => outbox.acknowledge({ from: 4, to: 4 }));
  expect(outbox.depth()).toBe(2);
});

test("the depth is right after each kind of write, also if it was asked before", async () => {
  service = serviceWith(new ScriptedPublisher());
  const { outbox, unitOfWork, parked, outboxAdmin } = service.kit;
  const depths: number[] = [];
  const afterIt = () => void depths.push(outbox.depth(), outbox.depth());
  const first = () => outbox.after(0, 1, 1)[0];
  const parkFirst = () =>
    unitOfWork.run(({ now }) => {
      const row = first();
      if (row !== undefined) outbox.park(row, "too large", now);
    });
  for (const name of ["a", "b", "c"]) {
    await service.send(name, "1");
    afterIt();
  }
  await unitOfWork.run(() => outbox.acknowledge({ from: 1, to: 1 }));
  afterIt();
  await parkFirst();
  afterIt();
  await outboxAdmin.retry(parked.list(undefined, 0, 1)[0]?.id ?? 0, "ops");
  afterIt();
  await parkFirst();
  afterIt();
  await outboxAdmin.retryAll(undefined, "ops");
  afterIt();
  await unitOfWork.run(({ now }) => outbox.parkTopic("letters", "gone", now));
  afterIt();
  expect(depths).toEqual([1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2, 0, 0]);
});

test("the depth within a transaction that is rolled back is forgotten", async () => {
  service = serviceWith(new ScriptedPublisher());
  const { outbox, unitOfWork } = service.kit;
  for (const name of ["a", "b", "c"]) await service.send(name, "1");
  await unitOfWork.run(() => outbox.acknowledge({ from: 2, to: 2 }));
  expect(outbox.depth()).toBe(2);
  const within: number[] = [];
  const rolledBack = unitOfWork.run(() => {
    outbox.acknowledge({ from: 1, to: 1 });
    within.push(outbox.depth());
    throw new Error("no");
  });
  await expect(rolledBack).rejects.toThrow("no");
  expect([new Set(within), outbox.depth()]).toEqual([new Set([1]), 2]);
});

/** A broker that refuses the records whose text begins with `bad`, and whatever is in one batch with them. */
class RefusingPublisher extends ScriptedPublisher {
  readonly stored: string[] = [];
  /** Of each send with a record that was refused, how many records it had. */
  readonly refusals: number[] = [];
  refusedTopic: string | undefined;
  refusedAs: PublishFailure["scope"] = "topic";
  repaired = false;
  /** More records than this in one send are too large. */
  mostRecords = Number.POSITIVE_INFINITY;

  override async publish(records: readonly OutgoingRecord[]): Promise<void> {
    const failures = new Map<OutgoingRecord, PublishFailure>();
    const textOf = (record: OutgoingRecord): string =>
      JSON.parse(Buffer.from(record.value ?? "").toString()).data.text;
    for (const [topic, batch] of Map.groupBy(records, (record) => record.topic)) {
      if (topic === this.refusedTopic) {
        for (const record of batch) failures.set(record, { scope: this.refusedAs, error: "no such topic" });
      } else if (
        batch.length > this.mostRecords ||
        (!this.repaired && batch.some((record) => textOf(record).startsWith("bad")))
      ) {
        for (const record of batch) failures.set(record, { scope: "record", error: "too large" });
      } else this.stored.push(...batch.map(textOf));
    }
    await super.publish(records.map((record) => ({ ...record, value: Buffer.from(record.value ?? "") })));
    if (failures.size === 0) return;
    this.refusals.push(records.length);
    throw new PublishError(failures);
  }
}

describe("what the broker refuses", () => {
  test("a record is parked with the later ones of its key; the others are sent once, in order", async () => {
    const publisher = new RefusingPublisher();
    service = serviceWith(publisher);
    await service.kit.unitOfWork.run((transaction) => {
      for (let i = 0; i < 20; i++) transaction.emit(Letter, { name: `k${i % 4}`, text: String(i) });
      transaction.emit(Letter, { name: "a", text: "bad" });
      transaction.emit(Letter, { name: "a", text: "after bad" });
      for (let i = 20; i < 40; i++) transaction.emit(Letter, { name: `k${i % 4}`, text: String(i) });
    });
    service.kit.start();
    await eventually(() => service.kit.outbox.depth() === 0);
    await service.send("a", "later");
    await service.send("b", "free");
    await eventually(() => publisher.stored.includes("free"));
    expect(publisher.stored).toEqual([...Array.from({ length: 40 }, (_, i) => String(i)), "free"]);
    expect(service.kit.outboxAdmin.list({ limit: 9 }).map(({ key, reason }) => [key, reason])).toEqual([
      ["a", "record"],
      ["a", "blocked"],
      ["a", "blocked"],
    ]);
    expect(service.kit.healthy()).toBe(true);

    publisher.repaired = true;
    const [first, second] = service.kit.outboxAdmin.list({ limit: 9 });
    expect(await failureOf(service.kit.outboxAdmin.retry(second?.id ?? 0, "op"))).toMatch("is blocked by");
    await service.kit.outboxAdmin.retry(first?.id ?? 0, "op");
    await service.send("a", "last");
    await eventually(() => publisher.stored.includes("last"));
    expect(publisher.stored.slice(-4)).toEqual(["bad", "after bad", "later", "last"]);
    expect(service.kit.parked.count()).toBe(0);
    expect(service.kit.outboxAdmin.actions(first?.id ?? 0)).toMatchObject([{ action: "retry", actor: "op" }]);
  });

  test("a dropped record is never sent, and releases the later ones of its key", async () => {
    const publisher = new RefusingPublisher();
    service = serviceWith(publisher);
    service.kit.start();
    await service.send("a", "bad");
    await service.send("a", "later");
    await service.send("a", "good");
    await eventually(() => service.kit.parked.count() === 3);
    const [id = 0, second = 0] = service.kit.outboxAdmin.list({ limit: 2 }).map((record) => record.id);
    await service.kit.outboxAdmin.drop(second, "nobody needs it either", "op");
    expect([service.kit.parked.count(), service.kit.outbox.depth()]).toEqual([2, 0]);
    await service.kit.outboxAdmin.drop(id, "nobody needs it", "op");
    await eventually(() => publisher.stored.includes("good"));
    expect(publisher.stored).toEqual(["good"]);
    expect(service.kit.outboxAdmin.actions(id)).toMatchObject([
      { action: "drop", actor: "op", detail: "nobody needs it [letters key a]" },
    ]);
    expect(() => service.kit.outboxAdmin.show(id)).toThrow(OutboxRefusal);
  });

  test("a parked record blocks its key also after a restart, and after a removal that was rolled back", async () => {
    const publisher = new RefusingPublisher();
    service = serviceWith(publisher);
    service.kit.start();
    await service.send("a", "bad");
    await eventually(() => service.kit.parked.count() === 1);
    await service.restart();
    await service.send("a", "second");
    const { parked, unitOfWork } = service.kit;
    const removal = unitOfWork.run(() => {
      for (const { id } of parked.list(undefined, 0, 9)) parked.remove(id);
      expect(parked.count()).toBe(0);
      throw new Error("rolled back");
    });
    expect(removal).rejects.toThrow("rolled back");
    await service.send("a", "third");
    await service.send("b", "free");
    await eventually(() => publisher.stored.length > 0);
    expect(publisher.stored).toEqual(["free"]);
    expect(service.kit.outboxAdmin.list({ limit: 9 })).toHaveLength(3);
  });

  test("a batch that is too large is split, and nothing is parked", async () => {
    const publisher = new RefusingPublisher();
    publisher.mostRecords = 3;
    service = serviceWith(publisher);
    await service.kit.unitOfWork.run((transaction) => {
      for (let i = 0; i < 100; i++) transaction.emit(Letter, { name: "a", text: String(i) });
    });
    service.kit.start();
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(publisher.stored).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    expect(service.kit.parked.count()).toBe(0);
  });

  test("how large a batch of a topic may be is remembered: the next ones are not refused", async () => {
    const publisher = new RefusingPublisher();
    publisher.mostRecords = 3;
    service = serviceWith(publisher);
    const send = (from: number) =>
      service.kit.unitOfWork.run((transaction) => {
        for (let i = from; i < from + 100; i++) {
          transaction.emit(Letter, { name: "a", text: String(i) });
          if (i % 10 === 0) transaction.emit(Answer, { name: "a", text: `answer ${i}` });
        }
      });
    await send(100);
    service.kit.start();
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(publisher.refusals.length).toBeGreaterThan(0);
    const { length } = publisher.refusals;
    await send(200);
    await send(300);
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(publisher.refusals).toHaveLength(length);
    const isAnswer = (text: string) => text.startsWith("answer");
    expect(publisher.stored.filter((text) => !isAnswer(text))).toEqual(
      Array.from({ length: 300 }, (_, i) => String(100 + i)),
    );
    expect(publisher.stored.filter(isAnswer)).toHaveLength(30);
  });

  test("one record that is too large by itself does not make the later sends of its topic smaller", async () => {
    const publisher = new RefusingPublisher();
    service = serviceWith(publisher);
    await service.kit.unitOfWork.run((transaction) => {
      for (let i = 0; i < 40; i++)
        transaction.emit(Letter, { name: `k${i}`, text: i === 20 ? "bad" : "good" });
    });
    service.kit.start();
    await eventually(() => service.kit.parked.count() === 1 && service.kit.outbox.depth() === 0);
    await service.kit.unitOfWork.run((transaction) => {
      for (let i = 0; i < 100; i++) transaction.emit(Letter, { name: "a", text: String(i) });
    });
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(publisher.sends.at(-1)).toHaveLength(100);
  });

  test("a topic that is missing waits while the others go on, then it is parked; a retry sends all", async () => {
    const publisher = new RefusingPublisher();
    let clock = 0;
    const runtime = { ...systemRuntime, monotonic: () => performance.now() + clock };
    publisher.refusedTopic = "answers";
    service = serviceWith(publisher, runtime);
    service.kit.start();
    await service.kit.unitOfWork.run((transaction) => {
      transaction.emit(Answer, { name: "a", text: "waits" });
      transaction.emit(Letter, { name: "a", text: "1" });
    });
    await eventually(() => publisher.stored.includes("1"));
    await service.send("a", "2");
    await eventually(() => publisher.stored.includes("2"));
    expect(service.kit.refusedTopics()).toEqual(["answers"]);
    await eventually(() => service.kit.outbox.depth() === 1);
    expect([service.kit.healthy(), service.kit.parked.count()]).toEqual([true, 0]);

    clock += TOPIC_PATIENCE_MS;
    await service.send("a", "3");
    await eventually(() => service.kit.parked.count() === 1);
    publisher.refusedTopic = undefined;
    expect(await service.kit.outboxAdmin.retryAll("answers", "op")).toBe(1);
    await eventually(() => publisher.stored.includes("waits"));
    expect(publisher.stored).toEqual(["1", "2", "3", "waits"]);
    expect(service.kit.refusedTopics()).toEqual([]);
  });

  test("a topic that an operator has to decide about waits for as long as that takes", async () => {
    const publisher = new RefusingPublisher();
    let clock = 0;
    const runtime = { ...systemRuntime, monotonic: () => performance.now() + clock };
    Object.assign(publisher, { refusedTopic: "answers", refusedAs: "held" });
    service = serviceWith(publisher, runtime);
    service.kit.start();
    await service.kit.unitOfWork.run((transaction) => transaction.emit(Answer, { name: "a", text: "waits" }));
    for (const text of ["1", "2", "3"]) {
      const { length } = publisher.refusals;
      await eventually(() => service.kit.refusedTopics().length === 1);
      clock += 100 * TOPIC_PATIENCE_MS;
      await service.send("a", text);
      await eventually(() => publisher.stored.includes(text) && publisher.refusals.length > length);
    }
    // What was stored is deleted with the next commit.
    await eventually(() => service.kit.outbox.depth() === 1);
    expect(service.kit.parked.count()).toBe(0);
    publisher.refusedTopic = undefined;
    clock += TOPIC_PATIENCE_MS;
    await service.send("a", "4");
    await eventually(() => publisher.stored.includes("waits"));
  });

  test("records that were not tried because an earlier one failed are sent next", async () => {
    const publisher = new ScriptedPublisher();
    const stored: string[] = [];
    let isFirst = true;
    service = serviceWith({
      publish: async (records) => {
        const texts = records.map(({ value }) => JSON.parse(Buffer.from(value ?? "").toString()).data.text);
        if (!isFirst) {
          stored.push(...texts);
          return publisher.publish(records);
        }
        isFirst = false;
        const failureAt = (index: number): PublishFailure =>
          index < 2 ? { scope: "record", error: "too large" } : { scope: "unsent", error: "not tried" };
        throw new PublishError(new Map(records.map((record, index) => [record, failureAt(index)])));
      },
    });
    await service.kit.unitOfWork.run((transaction) => {
      for (const text of ["1", "2", "3", "4"]) transaction.emit(Letter, { name: "a", text });
    });
    service.kit.start();
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(stored).toEqual(["1", "2", "3", "4"]);
  });

  test("with as many parked records as may be, the topic of the next one waits until there is space", async () => {
    const publisher = new RefusingPublisher();
    let clock = 0;
    const runtime = { ...systemRuntime, monotonic: () => performance.now() + clock };
    service = serviceWith(publisher, runtime);
    const { sql } = service.database;
    sql.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
       INSERT INTO parked_outgoing (topic, key, headers, created_at, reason, error, parked_at)
       SELECT 'answers', 'key ' || i, '{}', 0, 'record', 'too large', 0 FROM n`,
    );
    await service.restart();
    await service.send("a", "bad");
    await eventually(() => service.kit.refusedTopics().length === 1);
    expect([service.kit.parked.count(), service.kit.outbox.depth()]).toEqual([100_000, 1]);
    const blocked = service.kit.unitOfWork.run((transaction) =>
      transaction.emit(Answer, { name: "key 1", text: "one more" }),
    );
    expect(await failureOf(blocked)).toBe(
      "StorageError: 100000 outgoing records are parked, and answers key 1 is blocked",
    );
    sql.run("DELETE FROM parked_outgoing WHERE id > 10");
    clock += TOPIC_PATIENCE_MS;
    await eventually(() => service.kit.parked.count() === 11 && service.kit.refusedTopics().length === 0);
    expect(service.kit.outbox.depth()).toBe(0);
  });

  test("a topic that exists again in time is sent in order, and nothing is parked", async () => {
    const publisher = new RefusingPublisher();
    publisher.refusedTopic = "letters";
    service = serviceWith(publisher);
    service.kit.start();
    for (const text of ["1", "2", "3"]) await service.send("a", text);
    await eventually(() => service.kit.refusedTopics().length === 1);
    publisher.refusedTopic = undefined;
    await eventually(() => service.kit.outbox.depth() === 0);
    expect(publisher.stored).toEqual(["1", "2", "3"]);
    expect(service.kit.parked.count()).toBe(0);
  });
});
