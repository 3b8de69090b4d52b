/** kafkajs against the broker. */
import { afterEach, expect, test } from "bun:test";
import { AssignerProtocol, CompressionTypes, Partitioners } from "kafkajs";
import { ErrorCode } from "./errors.ts";
import { adminFor, kafkaFor, producerFor, type Received, RunningConsumer } from "./testing/kafkajs.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => String(from + index));
const messages = (values: string[]) => values.map((value) => ({ key: value, value }));

async function setUp(numPartitions = 1) {
  const broker = await temporaryBroker();
  const kafka = kafkaFor(broker);
  const admin = await adminFor(kafka);
  await admin.createTopics({ topics: [{ topic: "t", numPartitions }], waitForLeaders: true });
  return { broker, kafka, admin, producer: await producerFor(kafka) };
}

test.each([undefined, CompressionTypes.GZIP])(
  "records are received in order (compression %p)",
  async (compression) => {
    const { kafka, producer } = await setUp();
    for (const from of [0, 100, 200]) {
      const batch = { topic: "t", acks: -1, messages: messages(numbers(from, from + 100)) };
      await producer.send(compression === undefined ? batch : { ...batch, compression });
    }
    const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
    await running.until((received) => received.length === 300);
    expect(running.values).toEqual(numbers(0, 300));
  },
);

test("127.0.0.1 works like localhost", async () => {
  const { broker, producer } = await setUp();
  await producer.send({ topic: "t", messages: messages(["a"]) });
  const running = await RunningConsumer.start(kafkaFor({ host: "127.0.0.1", port: broker.port }), "t", {
    groupId: "g",
  });
  await running.until((received) => received.length === 1);
});

test("the members of a group share the partitions, also after a member joins or leaves", async () => {
  const { kafka, admin, producer } = await setUp(6);
  const assigned = async () => {
    const [group] = (await admin.describeGroups(["g"])).groups;
    const members = group?.state === "Stable" ? group.members : [];
    return members.map(({ memberAssignment }) => {
      return AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment.t?.length ?? 0;
    });
  };
  /** Resolves when every member has its share of the partitions and receives their records. */
  const shareOut = async (value: string, ...members: RunningConsumer[]) => {
    const fair = 6 / members.length;
    while ((await assigned()).join() !== members.map(() => fair).join()) await Bun.sleep(10);
    const round = Array.from({ length: 6 }, (_, partition) => ({ value, partition }));
    await producer.send({ topic: "t", messages: round });
    const partitionsOf = (received: readonly Received[]) =>
      new Set(received.filter((each) => each.value === value).map(({ partition }) => partition)).size;
    await Promise.all(members.map((member) => member.until((received) => partitionsOf(received) >= fair)));
  };
  const first = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await shareOut("one", first);
  const second = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await shareOut("two", first, second);
  const third = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await shareOut("three", first, second, third);
  await first.consumer.disconnect();
  await shareOut("the leader has left", second, third);
  await second.consumer.stop();
  await shareOut("one is left", third);
}, 30_000);

test("a consumer continues at the committed offset, also after a restart of the broker", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  const kafka = kafkaFor(broker);
  const admin = await adminFor(kafka);
  await admin.createTopics({ topics: [{ topic: "t", numPartitions: 2 }] });
  const producer = await producerFor(kafka);
  await producer.send({ topic: "t", messages: messages(numbers(0, 50)) });
  const before = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await before.until((received) => received.length === 50);
  await before.consumer.disconnect();
  await broker.stop();

  const restarted = await temporaryBroker({ dataDir, port: broker.port });
  expect(restarted.clusterId).toBe(broker.clusterId);
  await producer.send({ topic: "t", messages: messages(numbers(50, 60)) });
  const after = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await after.until((received) => received.length === 10);
  expect(after.values.sort()).toEqual(numbers(50, 60));
});

test("a running consumer rejoins after a restart of the broker and misses no record", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  const kafka = kafkaFor(broker);
  await (await adminFor(kafka)).createTopics({ topics: [{ topic: "t" }] });
  const producer = await producerFor(kafka);
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await producer.send({ topic: "t", messages: messages(["before"]) });
  await running.until((received) => received.length === 1);
  await broker.stop();
  await temporaryBroker({ dataDir, port: broker.port });
  await producer.send({ topic: "t", messages: messages(["after"]) });
  await running.until((received) => received.some(({ value }) => value === "after"));
}, 20_000);

test("offsets can be committed, fetched and sought", async () => {
  const { broker, kafka, admin, producer } = await setUp();
  await producer.send({ topic: "t", messages: messages(numbers(0, 10)) });
  // With an admin request; kafkajs' setOffsets waits five seconds for a fetch that it does not send.
  const fromOutside = { memberId: "", instanceId: null };
  const offsets = [{ topic: "t", partition: 0, offset: 4, leaderEpoch: -1, metadata: "" }];
  await broker.groups.commit("g", fromOutside, -1, offsets);
  const committed = async () => (await admin.fetchOffsets({ groupId: "g", topics: ["t"] }))[0]?.partitions[0];
  expect(await committed()).toMatchObject({ offset: "4" });
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" }, { autoCommit: false });
  await running.until((received) => received.length === 6);
  expect(running.values).toEqual(numbers(4, 10));
  await running.consumer.commitOffsets([{ topic: "t", partition: 0, offset: "8", metadata: "by hand" }]);
  expect(await committed()).toMatchObject({ offset: "8", metadata: "by hand" });
  running.consumer.seek({ topic: "t", partition: 0, offset: "1" });
  await running.until((received) => received.length === 15);
  expect(running.values.slice(6)).toEqual(numbers(1, 10));
});

test("a consumer of a compacted topic receives the last value of each key", async () => {
  const { broker, kafka, admin, producer } = await setUp();
  const configEntries = Object.entries({
    "cleanup.policy": "compact",
    "segment.bytes": "2000",
    "min.cleanable.dirty.ratio": "0",
  }).map(([name, value]) => ({ name, value }));
  await admin.createTopics({ topics: [{ topic: "c", configEntries }] });
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    for (let round = 0; round < 20; round++) {
      const values = numbers(0, 30).map((key) => ({ key, value: `${key}:${compression}:${round}` }));
      await producer.send({ topic: "c", compression, messages: values.slice(round) });
    }
  }
  await broker.cleaner.run();
  await producer.send({ topic: "c", messages: [{ key: "end", value: "end" }] });
  const running = await RunningConsumer.start(kafka, "c", { groupId: "g" });
  await running.until((received) => received.some(({ value }) => value === "end"));
  const last = new Map(running.values.map((value) => [value.split(":")[0], value]));
  expect(running.values.length).toBeLessThan(200);
  for (const key of numbers(0, 30)) expect(last.get(key)).toBe(`${key}:1:${Math.min(Number(key), 19)}`);
  await expect(producer.send({ topic: "c", messages: [{ key: null, value: "no key" }] })).rejects.toThrow();
});

test("assignments of new partitions name this broker, for each of them", async () => {
  const { admin } = await setUp();
  const grow = (count: number, assignments: number[][]) =>
    admin.createPartitions({ topicPartitions: [{ topic: "t", count, assignments }] });
  for (const wrong of [[[1]], [[1], [7]], [[1], [1, 1]], [[1], [1], [1]]]) {
    const refused = await grow(3, wrong).catch((error: unknown) => error);
    expect(refused).toMatchObject({ type: "INVALID_REPLICA_ASSIGNMENT" });
  }
  const count = async () => (await admin.fetchTopicMetadata({ topics: ["t"] })).topics[0]?.partitions.length;
  expect(await count()).toBe(1);
  await grow(3, [[1], [1]]);
  expect(await count()).toBe(3);
});

test("topics can be created, extended, described and deleted", async () => {
  const { admin, producer } = await setUp();
  expect(await admin.createTopics({ topics: [{ topic: "t" }] })).toBe(false);
  await admin.createPartitions({ topicPartitions: [{ topic: "t", count: 3 }] });
  const { topics } = await admin.fetchTopicMetadata({ topics: ["t"] });
  expect(topics[0]?.partitions.map(({ partitionId, leader }) => [partitionId, leader])).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
  ]);
  await producer.send({ topic: "t", messages: numbers(0, 9).map((value) => ({ value, partition: 1 })) });
  await admin.deleteTopicRecords({ topic: "t", partitions: [{ partition: 1, offset: "5" }] });
  expect(await admin.fetchTopicOffsets("t")).toContainEqual({
    partition: 1,
    offset: "9",
    high: "9",
    low: "5",
  });
  expect(await admin.describeCluster()).toMatchObject({
    controller: 1,
    brokers: [{ nodeId: 1, host: "localhost" }],
  });
  await admin.deleteTopics({ topics: ["t"] });
  expect(await admin.listTopics()).toEqual([]);
  await expect(admin.deleteTopics({ topics: ["t"] })).rejects.toThrow("does not host this topic");
});

test("a topic that is created again starts at offset 0, without committed offsets", async () => {
  const { kafka, admin, producer } = await setUp();
  await producer.send({ topic: "t", messages: messages(numbers(0, 5)) });
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await running.until((received) => received.length === 5);
  await running.consumer.disconnect();
  await admin.deleteTopics({ topics: ["t"] });
  await admin.createTopics({ topics: [{ topic: "t" }] });
  expect(await admin.fetchTopicOffsets("t")).toEqual([{ partition: 0, offset: "0", high: "0", low: "0" }]);
  expect(await admin.fetchOffsets({ groupId: "g", topics: ["t"] })).toEqual([
    { topic: "t", partitions: [expect.objectContaining({ partition: 0, offset: "-1" })] },
  ]);
});

test("configurations are described and validated", async () => {
  const { admin } = await setUp();
  const configEntries = [
    { name: "cleanup.policy", value: "compact" },
    { name: "retention.ms", value: "1234" },
  ];
  await admin.createTopics({ topics: [{ topic: "c", configEntries }] });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: "c", configNames: ["retention.ms", "cleanup.policy", "segment.bytes"] }],
  });
  const configs = resources[0]?.configEntries.map(({ configName, configValue, isDefault }) => [
    configName,
    configValue,
    isDefault,
  ]);
  expect(configs?.map((config) => config.slice(0, 2)).sort()).toEqual([
    ["cleanup.policy", "compact"],
    ["retention.ms", "1234"],
    ["segment.bytes", "67108864"],
  ]);
  const all = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: "c", configNames: [] }],
  });
  expect(all.resources[0]?.configEntries.length).toBeGreaterThan(20);
  const codeFor = async (topic: object) => {
    const created = admin.createTopics({ topics: [{ topic: "x", ...topic }] });
    return created.then(
      () => 0,
      (error: { errors: { code: number }[] }) => error.errors[0]?.code,
    );
  };
  const valid = {
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "60000",
    "compression.gzip.level": "9",
    "compression.lz4.level": "17",
    "compression.zstd.level": "-5",
    "leader.replication.throttled.replicas": "0:1,1:1",
    "follower.replication.throttled.replicas": "*",
    "local.retention.ms": "-2",
    "local.retention.bytes": "1000",
    "remote.storage.enable": "false",
    "remote.log.copy.disable": "true",
    "remote.log.delete.on.disable": "true",
  };
  const entries = Object.entries(valid).map(([name, value]) => ({ name, value }));
  expect(await codeFor({ topic: "valid", configEntries: entries })).toBe(0);
  for (const [name, value] of [
    ["compression.gzip.level", "0"],
    ["compression.gzip.level", "10"],
    ["compression.lz4.level", "18"],
    ["local.retention.ms", "-3"],
    ["message.timestamp.after.max.ms", "-1"],
    ["leader.replication.throttled.replicas", "all"],
    // As on an Apache Kafka without remote.log.storage.system.enable.
    ["remote.storage.enable", "true"],
  ] as const) {
    expect([name, await codeFor({ configEntries: [{ name, value }] })]).toEqual([
      name,
      ErrorCode.INVALID_CONFIG,
    ]);
  }
  expect(await codeFor({ configEntries: [{ name: "nonsense", value: "1" }] })).toBe(ErrorCode.INVALID_CONFIG);
  expect(await codeFor({ configEntries: [{ name: "retention.ms", value: "soon" }] })).toBe(
    ErrorCode.INVALID_CONFIG,
  );
  expect(await codeFor({ topic: "no/slash" })).toBe(ErrorCode.INVALID_TOPIC_EXCEPTION);
  expect(await codeFor({ numPartitions: 0 })).toBe(ErrorCode.INVALID_PARTITIONS);
  expect(await codeFor({ replicationFactor: 3 })).toBe(ErrorCode.INVALID_REPLICATION_FACTOR);
});

test("topics are auto-created only if the broker allows it", async () => {
  const strict = await setUp();
  await expect(strict.producer.send({ topic: "new", messages: messages(["a"]) })).rejects.toThrow();
  expect(await strict.admin.listTopics()).toEqual(["t"]);
  const broker = await temporaryBroker({ autoCreateTopics: true, defaultPartitions: 2 });
  const producer = await producerFor(kafkaFor(broker));
  await producer.send({ topic: "new", messages: messages(["a"]) });
  expect(broker.topics.find({ name: "new", id: null })?.partitions).toHaveLength(2);
});

test("groups can be listed, described and deleted", async () => {
  const { kafka, admin, producer } = await setUp();
  await producer.send({ topic: "t", messages: messages(["a"]) });
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await running.until((received) => received.length === 1);
  expect(await admin.listGroups()).toEqual({ groups: [{ groupId: "g", protocolType: "consumer" }] });
  await expect(admin.deleteGroups(["g"])).rejects.toThrow();
  await running.consumer.disconnect();
  await admin.deleteGroups(["g"]);
  expect(await admin.listGroups()).toEqual({ groups: [] });
  expect((await admin.describeGroups(["g"])).groups[0]?.state).toBe("Dead");
});

test("transactions are committed with their offsets, or aborted", async () => {
  const { kafka, admin } = await setUp(2);
  const producer = kafka.producer({
    transactionalId: "x",
    maxInFlightRequests: 1,
    idempotent: true,
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  cleanUp(() => producer.disconnect());
  await producer.connect();
  for (const [value, outcome] of Object.entries({ a: "commit", b: "abort", c: "commit" })) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: "t", messages: messages([value]) });
    const topics = [{ topic: "t", partitions: [{ partition: 0, offset: value === "c" ? "7" : "3" }] }];
    await transaction.sendOffsets({ consumerGroupId: "offsets", topics });
    if (outcome === "commit") await transaction.commit();
    else await transaction.abort();
  }
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await running.until((received) => received.length === 2);
  expect([...running.values].sort()).toEqual(["a", "c"]);
  const [committed] = await admin.fetchOffsets({ groupId: "offsets", topics: ["t"] });
  expect(committed?.partitions.find(({ partition }) => partition === 0)?.offset).toBe("7");
});
