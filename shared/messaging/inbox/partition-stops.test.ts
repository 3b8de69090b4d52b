import { afterEach, expect, test } from "bun:test";
import { silentLogger } from "../runtime.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { letter, letters, TestService } from "../testing/kit.ts";
import { ALL_PARTITIONS } from "./partition-stops.ts";

let service: TestService;
afterEach(() => service.stop());

const bytes = Buffer.from([0xff, 0x00, 0x80]);
const topic = letters.name;
const stops = () => service.kit.partitionStops;
/** The partition of a name. */
const partitionOf = (name: string) =>
  service.broker.records(topic).find(({ key }) => key === name)?.partition ?? -1;
const nextOf = (partition: number) =>
  service.database.sql
    .query<{ next: number }, [number]>("SELECT next_offset AS next FROM consumer_offsets WHERE partition = ?")
    .get(partition)?.next;

/** A service that has handled one letter of `a`. @returns the partition of `a` */
async function handledOne(options: ConstructorParameters<typeof TestService>[1] = {}): Promise<number> {
  service = new TestService(undefined, options);
  service.kit.start();
  await service.publish(letter("a", "1"));
  await eventually(() => service.applied().length === 1);
  return partitionOf("a");
}

test("a batch that cannot be decoded stops its partition only, and says where and why", async () => {
  const partition = await handledOne();
  service.broker.partition(topic, partition).appendUndecodable(bytes, 3, "unknown codec");
  await service.publish(letter("a", "2"), letter("b", "1"), letter("c", "1"), letter("d", "1"));
  await eventually(() => stops().list().length === 1);
  const others = ["b", "c", "d"].filter((name) => partitionOf(name) !== partition);
  await eventually(() => others.every((name) => service.applied(name).length === 1));
  expect(service.applied("a")).toEqual(["a:1"]);
  expect(stops().list()).toEqual([
    {
      topic,
      partition,
      reason: "undecodable-batch",
      error: "records 1 to 3 cannot be decoded: unknown codec",
      offset: 1,
      nextOffset: 4,
      bytes: new Uint8Array(bytes),
      stoppedAt: expect.any(Number),
    },
  ]);
  expect(stops().countByReason()).toEqual({
    "undecodable-batch": 1,
    gap: 0,
    unverifiable: 0,
    "partitions-changed": 0,
    "dead-letters-full": 0,
  });
});

test("records before an undecodable batch are handled", async () => {
  const partition = await handledOne();
  await service.kit.stop();
  await service.publish(letter("a", "2"));
  service.broker.partition(topic, partition).appendUndecodable(bytes, 1, "broken");
  await service.restart();
  await eventually(() => stops().list().length === 1);
  expect(service.applied()).toEqual(["a:1", "a:2"]);
});

test("a stop survives a restart; a skip records who, why and which bytes, and reading goes on", async () => {
  const partition = await handledOne();
  service.broker.partition(topic, partition).appendUndecodable(bytes, 3, "unknown codec");
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  await service.restart();
  expect(stops().list()).toHaveLength(1);
  await stops().decide({ topic, partition }, "skip", "sent by mistake", "olga");
  await eventually(() => service.applied().length === 2);
  expect(stops().list()).toEqual([]);
  expect(stops().decisions(topic, partition)).toEqual([
    expect.objectContaining({
      action: "skip",
      actor: "olga",
      detail: "sent by mistake",
      reason: "undecodable-batch",
      offset: 1,
      nextOffset: 4,
      bytes: new Uint8Array(bytes),
    }),
  ]);
  // Not stopped there again, also when the records before it are read again to identify the log.
  await service.restart();
  await service.publish(letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(stops().list()).toEqual([]);
});

test("a partition that is stopped stays so as it is; the newest ten thousand decisions are kept", async () => {
  service = new TestService();
  const { sql } = service.database;
  const stop = (reason: "gap" | "undecodable-batch", offset: number) =>
    service.kit.unitOfWork.run((transaction) =>
      stops().stop(
        { ...{ topic, partition: 0, reason, offset, nextOffset: 9, error: "e", bytes: null } },
        transaction,
      ),
    );
  await stop("gap", 5);
  await stop("undecodable-batch", 7);
  expect(stops().list()).toMatchObject([{ reason: "gap", offset: 5 }]);
  for (const id of [1, 10_001]) {
    sql.run("INSERT INTO partition_actions VALUES (?, 't', 0, 0, 0, 'gap', '', NULL, 'skip', 'a', '', 0)", [
      id,
    ]);
  }
  await stops().decide({ topic, partition: 0 }, "skip", "acknowledged", "operator");
  expect(sql.query("SELECT id FROM partition_actions ORDER BY id").values()).toEqual([[10_001], [10_002]]);
});

test("resume tries again where the partition is stopped", async () => {
  const partition = await handledOne();
  service.broker.partition(topic, partition).appendUndecodable(bytes, 1, "unknown codec");
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  await stops().decide({ topic, partition }, "resume", "a new version", "olga");
  await eventually(() => stops().list().length === 1);
  expect(nextOf(partition)).toBe(1);
  expect(stops().decisions(topic, partition)).toMatchObject([{ action: "resume" }]);
});

test("only what is stopped can be decided, and only as its reason allows", async () => {
  const partition = await handledOne();
  const place = { topic, partition };
  expect(await failureOf(stops().decide(place, "skip", "?", "olga"))).toMatch("is not stopped");
  service.broker.partition(topic, partition).appendUndecodable(bytes, 1, "unknown codec");
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  expect(await failureOf(stops().decide(place, "accept", "?", "olga"))).toMatch(
    "accept is not possible for undecodable-batch; possible are skip, resume",
  );
  expect(await failureOf(stops().decide({ topic, partition: ALL_PARTITIONS }, "skip", "?", "olga"))).toMatch(
    "letters is not stopped",
  );
  expect(stops().list()).toHaveLength(1);
});

test("a decision that arrives twice does not apply to the next stop of its partition", async () => {
  const partition = await handledOne();
  const place = { topic, partition };
  const log = service.broker.partition(topic, partition);
  log.appendUndecodable(bytes, 1, "unknown codec");
  log.appendUndecodable(bytes, 2, "another one");
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  await stops().decide({ ...place, offset: 1 }, "skip", "sent by mistake", "olga");
  await eventually(() => stops().get(topic, partition)?.offset === 2);
  expect(await failureOf(stops().decide({ ...place, offset: 1 }, "skip", "sent by mistake", "olga"))).toMatch(
    "is stopped at offset 2, not 1",
  );
  const gap = stops().decide({ ...place, offset: 2, reason: "gap" }, "skip", "too old", "olga");
  expect(await failureOf(gap)).toMatch("is stopped for undecodable-batch, not gap");
  expect(stops().list()).toMatchObject([{ offset: 2, nextOffset: 4 }]);
  expect(stops().decisions(topic, partition)).toHaveLength(1);
});

/** Two letters are removed before they are read, while the process is stopped. */
async function trimUnread(partition: number): Promise<void> {
  await service.kit.stop();
  await service.publish(letter("a", "2"), letter("a", "3"), letter("a", "4"));
  service.broker.partition(topic, partition).trim(3);
  await service.restart();
}

test("records that retention removed unread stop their partition until an operator acknowledges it", async () => {
  const partition = await handledOne();
  await trimUnread(partition);
  await eventually(() => stops().list().length === 1);
  expect(stops().list()).toMatchObject([{ partition, reason: "gap", offset: 1, nextOffset: 3 }]);
  expect(service.kit.consumer.counts.lost).toBe(2);
  expect(service.applied()).toEqual(["a:1"]);
  await stops().decide({ topic, partition }, "skip", "restored by hand", "olga");
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(["a:1", "a:4"]);
});

test("retention that removes unread records while the partition is assigned is found as well", async () => {
  const partition = await handledOne();
  const log = service.broker.partition(topic, partition);
  log.appendUndecodable(bytes, 2, "never seen");
  log.trim(3);
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  expect(stops().list()).toMatchObject([{ reason: "gap", offset: 1, nextOffset: 3 }]);
});

test("a partition that retention emptied is found without a further record: at the assignment", async () => {
  const partition = await handledOne();
  await service.kit.stop();
  await service.publish(letter("a", "2"), letter("a", "3"));
  service.broker.partition(topic, partition).trim(3);
  await service.restart();
  await eventually(() => stops().list().length === 1);
  expect(stops().list()).toMatchObject([{ partition, reason: "gap", offset: 1, nextOffset: 3 }]);
  expect(service.kit.consumer.counts.lost).toBe(2);
  await stops().decide({ topic, partition }, "skip", "restored by hand", "olga");
  await eventually(() => nextOf(partition) === 3);
  await service.publish(letter("a", "4"));
  await eventually(() => service.applied().length === 2);
  expect(stops().list()).toEqual([]);
});

test("and while it is assigned, by policy without a stop", async () => {
  const partition = await handledOne({ gaps: "continue" });
  const log = service.broker.partition(topic, partition);
  log.appendUndecodable(bytes, 2, "never seen");
  log.trim(3);
  await service.broker.publish([]);
  await eventually(() => service.kit.consumer.counts.lost === 2);
  expect(nextOf(partition)).toBe(3);
  expect(stops().list()).toEqual([]);
  await service.publish(letter("a", "2"));
  await eventually(() => service.applied().length === 2);
});

test("a partition that was read to its end and then emptied has no gap", async () => {
  const partition = await handledOne();
  await service.kit.stop();
  service.broker.partition(topic, partition).trim(1);
  await service.restart();
  await service.broker.publish([]);
  await service.publish(letter("a", "2"));
  await eventually(() => service.applied().length === 2);
  expect(stops().list()).toEqual([]);
  expect(service.kit.consumer.counts.lost).toBe(0);
});

test("by policy, reading goes on after a gap, which is recorded once", async () => {
  const partition = await handledOne({ gaps: "continue" });
  await trimUnread(partition);
  await eventually(() => service.applied().length === 2);
  expect(stops().list()).toEqual([]);
  expect(service.kit.consumer.counts.lost).toBe(2);
  expect(stops().decisions(topic, partition)).toMatchObject([
    { action: "skip", actor: "messaging", reason: "gap", offset: 1, nextOffset: 3 },
  ]);
});

test("records that were read before retention removed them are no gap, nor is a first start", async () => {
  const partition = await handledOne();
  service.broker.partition(topic, partition).trim(1);
  await service.restart();
  await service.publish(letter("a", "2"));
  await eventually(() => service.applied().length === 2);
  service.broker.partition(topic, partition).trim(2);
  service.database.sql.run("DELETE FROM consumer_offsets");
  await service.restart();
  await service.publish(letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  expect(stops().list()).toEqual([]);
});

test("a compacted topic has gaps as a rule", async () => {
  const compacted = { ...letters, config: { "cleanup.policy": "compact" } };
  Object.assign(letters, compacted);
  try {
    const partition = await handledOne();
    await trimUnread(partition);
    await eventually(() => service.applied().length === 2);
    expect(stops().list()).toEqual([]);
  } finally {
    Object.assign(letters, { config: {} });
  }
});

test("a log that lost its end and grew again while it is assigned is found, and read from its beginning", async () => {
  const partition = await handledOne();
  await service.publish(letter("a", "2"), letter("a", "3"));
  await eventually(() => service.applied().length === 3);
  service.broker.partition(topic, partition).truncate(1);
  await service.publish(letter("a", "4"), letter("a", "5"), letter("a", "6"), letter("a", "7"));
  await eventually(() => service.applied().length === 7, "none of them is skipped");
  expect(service.applied().toSorted()).toEqual(
    ["1", "2", "3", "4", "5", "6", "7"].map((text) => `a:${text}`),
  );
});

test("a log that was replaced is recognised where the last records of the old one were skipped", async () => {
  const partition = await handledOne();
  const place = { topic, partition };
  service.broker.partition(topic, partition).appendUndecodable(bytes, 2, "unknown codec");
  await service.restart();
  await eventually(() => stops().list().length === 1);
  await stops().decide(place, "skip", "sent by mistake", "olga");
  await eventually(() => nextOf(partition) === 3);
  await service.kit.stop();
  service.broker.partition(topic, partition).truncate(1);
  await service.publish(letter("a", "2"), letter("a", "3"), letter("a", "4"), letter("a", "5"));
  await service.restart();
  await eventually(() => service.applied("a").length === 5, "none of them is skipped");
  expect(stops().list()).toEqual([]);
});

test.each([2, 3, 4, 5])(
  "and where an operator acknowledged that retention had emptied it: %d new records",
  async (count) => {
    const partition = await handledOne();
    await service.kit.stop();
    await service.publish(letter("a", "2"), letter("a", "3"));
    const log = service.broker.partition(topic, partition);
    log.trim(3);
    await service.restart();
    await eventually(() => stops().list().length === 1);
    await stops().decide({ topic, partition }, "skip", "restored by hand", "olga");
    await eventually(() => nextOf(partition) === 3);
    await service.kit.stop();
    log.trim(0);
    log.truncate(0);
    await service.publish(...Array.from({ length: count }, (_, n) => letter("a", `new ${n}`)));
    await service.restart();
    await eventually(() => service.applied("a").length === 1 + count, "none of them is skipped");
    expect(stops().list()).toEqual([]);
  },
);

test("a new log ends the stop of the old one", async () => {
  const partition = await handledOne();
  service.broker.partition(topic, partition).appendUndecodable(bytes, 3, "unknown codec");
  await service.publish(letter("a", "2"));
  await eventually(() => stops().list().length === 1);
  await service.kit.stop();
  service.broker.partition(topic, partition).truncate(0);
  await service.restart();
  await service.publish(letter("a", "8"));
  await eventually(() => service.applied().includes("a:8"));
  expect(stops().list()).toEqual([]);
  expect(stops().decisions(topic, partition)).toMatchObject([{ action: "log-replaced", actor: "messaging" }]);
});

/** Dead letters of a key of the partition. */
function fill(partition: number, key: string): void {
  service.database.sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
     INSERT INTO dead_letters (topic, partition, offset, key, headers, reason, error, attempts, parked_at)
     SELECT ?, ?, i, ?, '{}', 'domain', 'x', 1, 0 FROM n`,
    [topic, partition, key],
  );
}

test("a key with as many dead letters as it may have stops its partition, once, until there is space", async () => {
  const errors: object[] = [];
  const log = { ...silentLogger, error: (fields: object) => errors.push(fields) };
  const partition = await handledOne({ log });
  fill(partition, "a");
  await service.restart();
  await service.publish(letter("a", "2"), letter("a", "3"));
  await eventually(() => stops().list().length === 1);
  expect(stops().list()).toMatchObject([
    {
      ...{ topic, partition, reason: "dead-letters-full", offset: 1, nextOffset: 1, bytes: null },
      error:
        "there are 10000 dead letters of letters with the key a: replay or discard some, and the partition goes on by itself",
    },
  ]);
  expect(stops().countByReason()["dead-letters-full"]).toBe(1);
  // It is still so after a restart, and is logged once however often it is tried.
  const subscribe = service.broker.subscribe.bind(service.broker);
  let tries = 0;
  service.broker.subscribe = ({ handle, ...options }) =>
    subscribe({
      ...options,
      handle: (batch) => {
        tries += 1;
        return handle(batch);
      },
    });
  await service.restart();
  await eventually(() => tries === 3);
  expect(stops().list()).toHaveLength(1);
  expect(errors).toHaveLength(1);

  // One place: the first letter takes it, and the partition waits where it is now.
  service.database.sql.run("DELETE FROM dead_letters WHERE offset = 10000");
  await eventually(() => stops().list()[0]?.offset === 2);
  expect(errors.filter((fields) => "nextOffset" in fields)).toHaveLength(1);
  service.database.sql.run("DELETE FROM dead_letters WHERE key = 'a'");
  await eventually(() => service.applied().includes("a:3"));
  await eventually(() => stops().list().length === 0);
  expect(stops().decisions(topic, partition)).toEqual([]);
});

test("a gap in a partition that is out of space for dead letters is found all the same", async () => {
  const partition = await handledOne();
  fill(partition, "a");
  await service.restart();
  await service.publish(letter("a", "2"), letter("a", "3"));
  await eventually(() => stops().list().length === 1);
  service.broker.partition(topic, partition).trim(2);
  await eventually(() => stops().list()[0]?.reason === "gap");
  expect(stops().list()).toMatchObject([{ reason: "gap", offset: 1, nextOffset: 2 }]);
});
