import { afterEach, expect, test } from "bun:test";
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
