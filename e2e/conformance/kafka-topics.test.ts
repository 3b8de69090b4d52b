import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiKey, ErrorCode } from "@distributed-messaging/embedded-broker";
import { PublishError, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { Fixture, record, rejects, TEST_TIMEOUT_MS } from "@distributed-messaging/messaging/conformance";
import {
  KafkaClient,
  KafkaInspector,
  kafkaTransport,
  type TopicSetup,
} from "@distributed-messaging/messaging/kafka";
import { type EmbeddedBrokerUnderTest, embeddedBroker } from "./embedded.ts";

/* What a client does about topics that are missing, or that it may neither describe nor create. */

let server: EmbeddedBrokerUnderTest;
beforeAll(async () => {
  server = await embeddedBroker();
}, TEST_TIMEOUT_MS);
afterAll(() => server.stop(), TEST_TIMEOUT_MS);

function fixtureWith(topics: TopicSetup): Fixture {
  const settings = { brokers: [server.address], clientId: "topics", topics };
  return new Fixture({
    ...server,
    connect: (list) => kafkaTransport(settings, list, systemRuntime, silentLogger),
  });
}

test("a topic that may not be created does not keep other topics from being used", async () => {
  await using fixture = fixtureWith({ create: true });
  const [forbidden, allowed] = [fixture.topic(1), fixture.topic(1)];
  const records = [record(forbidden, "key", "1"), record(allowed, "key", "1")];
  const rule = server.broker.control.on(ApiKey.CreateTopics, {
    fault: "fail",
    code: ErrorCode.TOPIC_AUTHORIZATION_FAILED,
    times: Number.POSITIVE_INFINITY,
    when: ({ request }) => JSON.stringify(request).includes(forbidden.name),
  });
  const error: unknown = await fixture
    .connect(forbidden, allowed)
    .publish(records)
    .catch((reason: unknown) => reason);
  rule.remove();
  expect(rule.hits).toBeGreaterThan(0);
  if (!(error instanceof PublishError)) throw new Error("a PublishError was expected", { cause: error });
  expect([...error.failures]).toMatchObject([[records[0], { scope: "topic" }]]);
  const reader = fixture.read(fixture.connect(allowed), { topics: [allowed] });
  await reader.hasAll(["1"]);
});

test("with create: false no topic is created, and records of topics that exist are stored", async () => {
  await using creating = fixtureWith({ create: true });
  await using checking = fixtureWith({ create: false });
  const [existing, missing] = [creating.topic(1), creating.topic(1)];
  await creating.connect(existing).publish([record(existing, "key", "1")]);
  const records = [record(missing, "key", "2"), record(existing, "key", "2")];
  const error: unknown = await checking
    .connect(existing, missing)
    .publish(records)
    .catch((reason: unknown) => reason);
  if (!(error instanceof PublishError)) throw new Error("a PublishError was expected", { cause: error });
  expect([...error.failures]).toMatchObject([[records[0], { scope: "topic" }]]);
  const reader = checking.read(checking.connect(existing), { topics: [existing] });
  await reader.hasAll(["1", "2"]);
});

test("new topics have the replication and min.insync.replicas of the settings", async () => {
  await using fixture = fixtureWith({ create: true, replication: 1, minInsyncReplicas: 1 });
  const topic = fixture.topic(1);
  await fixture.connect(topic).publish([record(topic, "key", "1")]);
  const client = new KafkaClient({ brokers: [server.address], clientId: "test" }, silentLogger);
  const admin = client.kafka.admin();
  await admin.connect();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: topic.name, configNames: ["min.insync.replicas"] }],
  });
  await admin.disconnect();
  expect(resources[0]?.configEntries).toMatchObject([
    { configName: "min.insync.replicas", configValue: "1" },
  ]);
});

test("a topic with fewer partitions than its definition is not written, until it has them", async () => {
  await using fixture = fixtureWith({ create: true });
  const [topic, other] = [fixture.topic(2), fixture.topic(1)];
  await fixture.connect(topic, other).publish([record(topic, "key", "1")]);
  const grown = { ...topic, partitions: 3 };
  const client = fixture.connect(grown, other);
  const records = [record(grown, "key", "2"), record(other, "key", "2")];
  const error: unknown = await client.publish(records).catch((reason: unknown) => reason);
  if (!(error instanceof PublishError)) throw new Error("a PublishError was expected", { cause: error });
  expect([...error.failures]).toMatchObject([
    [records[0], { scope: "held", error: expect.stringContaining("has 2 partitions instead of 3") }],
  ]);
  await fixture.broker.administration?.addPartitions(topic, 3);
  await client.publish([record(grown, "key", "3")]);
  const reader = fixture.read(fixture.connect(grown, other), { topics: [grown, other] });
  await reader.hasAll(["1", "2", "3"]);
  expect(reader.values.toSorted()).toEqual(["1", "2", "3"]);
});

test("the records of a key are found where they were written, also after partitions were added", async () => {
  await using fixture = fixtureWith({ create: true });
  const topic = fixture.topic(2);
  const client = fixture.connect(topic);
  await client.publish([record(topic, "x", "creates the topic")]);
  await fixture.broker.administration?.addPartitions(topic, 8);
  const keys = ["a", "b", "c", "d", "e"];
  await client.publish(keys.map((key) => record(topic, key, `of ${key}`)));
  const settings = { brokers: [server.address], clientId: "inspector" };
  const inspector = new KafkaInspector(settings, [topic], [], silentLogger);
  try {
    for (const key of keys) {
      expect((await inspector.ofKey(key, [topic.name])).map(({ value }) => String(value))).toEqual([
        `of ${key}`,
      ]);
    }
  } finally {
    await inspector.close();
  }
});

test("a publish that fails does not fail others at the same time", async () => {
  await using fixture = fixtureWith({ create: true });
  const [forbidden, allowed] = [fixture.topic(1), fixture.topic(1)];
  const sender = fixture.connect(forbidden, allowed);
  await sender.publish([record(allowed, "key", "0")]);
  const rule = server.broker.control.on(ApiKey.Produce, {
    fault: "fail",
    code: ErrorCode.TOPIC_AUTHORIZATION_FAILED,
    when: ({ request }) => JSON.stringify(request).includes(forbidden.name),
  });
  // One request is under way at a time: the others wait behind the one that fails.
  const failing = rejects(sender.publish([record(forbidden, "key", "1")]));
  await Promise.all(["1", "2", "3"].map((value) => sender.publish([record(allowed, "key", value)])));
  expect(await failing).toBe(true);
  expect(rule.hits).toBe(1);
  const reader = fixture.read(fixture.connect(allowed), { topics: [allowed] });
  await reader.hasAll(["0", "1", "2", "3"]);
});
