import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiKey, ErrorCode } from "@distributed-messaging/embedded-broker";
import { type Batch, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { record, TEST_TIMEOUT_MS } from "@distributed-messaging/messaging/conformance";
import { checkTopic } from "@distributed-messaging/messaging/internal";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually, failureOf } from "@distributed-messaging/messaging/testing";
import { storeTopics } from "@distributed-messaging/services/registry";
import { Kafka, logLevel } from "kafkajs";
import { type EmbeddedBrokerUnderTest, embeddedBroker } from "./embedded.ts";
import { FaultFixture } from "./faults.ts";

/* What the kit corrects of kafkajs 2.2.4 at run time, seen from the broker. */

let server: EmbeddedBrokerUnderTest;
beforeAll(async () => {
  server = await embeddedBroker();
}, TEST_TIMEOUT_MS);
afterAll(() => server.stop(), TEST_TIMEOUT_MS);

test("a consumer that joined and then failed to start leaves its group", async () => {
  await using fixture = new FaultFixture(server);
  const topic = fixture.topic(1);
  const client = fixture.connect(topic);
  await client.publish([record(topic, "key", "value")]);
  const leaves = fixture.inject("LeaveGroup", { fault: "delay", until: 0 }, Number.POSITIVE_INFINITY);
  fixture.inject("SyncGroup", { fault: "fail", code: ErrorCode.UNKNOWN_SERVER_ERROR });
  const reader = fixture.read(client, { topics: [topic] });
  await reader.hasAll(["value"]);
  expect(leaves.hits).toBe(1);
}, 120_000);

test.each([
  ["Fetch", "TOPIC_AUTHORIZATION_FAILED", "Not authorized to access topics"],
  ["Heartbeat", "GROUP_AUTHORIZATION_FAILED", "Not authorized to access group"],
  ["FindCoordinator", "GROUP_AUTHORIZATION_FAILED", "Not authorized to access group"],
] as const)(
  "a consumer whose %s fails with %s logs that, not only that it stopped",
  async (api, code, text) => {
    const logged: string[] = [];
    const log = {
      ...silentLogger,
      warn: (_: object, line: string) => void logged.push(line),
    };
    await using fixture = new FaultFixture(server, systemRuntime, undefined, log);
    const topic = fixture.topic(1);
    const client = fixture.connect(topic);
    await client.publish([record(topic, "key", "value")]);
    const rule = fixture.inject(api, { fault: "fail", code: ErrorCode[code] }, Number.POSITIVE_INFINITY);
    const reader = fixture.read(client, { topics: [topic] });
    await eventually(() => logged.some((line) => line.includes(text)), "it is logged");
    rule.remove();
    await reader.hasAll(["value"]);
  },
  120_000,
);

test("an idle consumer fetches less often, but not while a partition is paused, nor once there is a record", async () => {
  let aheadMs = 0;
  const monotonic = () => systemRuntime.monotonic() + aheadMs;
  await using fixture = new FaultFixture(server, { ...systemRuntime, monotonic });
  const topic = fixture.topic(2);
  const client = fixture.connect(topic);
  let waitMs: unknown;
  let fetches = 0;
  fixture.watch("Fetch", (request) => {
    waitMs = typeof request === "object" && request !== null && "maxWaitMs" in request && request.maxWaitMs;
    fetches += 1;
  });
  let pauseMs: number | undefined;
  const handle = async ({ records }: Batch) =>
    pauseMs === undefined ? undefined : { next: records[0]?.offset ?? 0, pauseMs };
  const reader = fixture.read(client, { topics: [topic], handle });
  await eventually(() => waitMs === 100, "it fetches");
  aheadMs += 10_000;
  await eventually(() => waitMs === 1_000, "it is idle");
  await client.publish([record(topic, "key", "value")]);
  await reader.hasAll(["value"]);
  await eventually(() => waitMs === 100, "it is idle no more");
  pauseMs = 60 * 60_000;
  await client.publish([record(topic, "key", "paused")]);
  await reader.hasAll(["paused"]);
  aheadMs += 10_000;
  const before = fetches;
  await eventually(() => fetches > before + 2, "it fetches the other partition");
  expect(waitMs).toBe(100);
}, 120_000);

test("after records, a reader with an interval fetches only once it has passed; a stop does not wait for it", async () => {
  const intervalMs = 60 * 60_000;
  const waits: (() => void)[] = [];
  const after = (delayMs: number, callback: () => void) => {
    if (delayMs > intervalMs / 2) waits.push(callback);
    return delayMs > intervalMs / 2 ? () => {} : systemRuntime.after(delayMs, callback);
  };
  await using fixture = new FaultFixture(server, { ...systemRuntime, after });
  const topic = fixture.topic();
  const client = fixture.connect(topic);
  let fetches = 0;
  fixture.watch("Fetch", () => {
    fetches += 1;
  });
  const reader = fixture.read(client, { topics: [topic], fetchIntervalMs: intervalMs });
  await eventually(() => fetches > 2, "without records it fetches");
  await client.publish([record(topic, "key", "first")]);
  await reader.hasAll(["first"]);
  await eventually(() => waits.length === 1, "it waits");
  const before = fetches;
  await client.publish([record(topic, "key", "second"), record(topic, "other", "third")]);
  expect([fetches, reader.values]).toEqual([before, ["first"]]);
  waits[0]?.();
  await reader.hasAll(["second", "third"]);
  await eventually(() => waits.length === 2, "it waits again");
  await reader.subscription.stop();
  expect(waits).toHaveLength(2);
}, 120_000);

test("the topics that the store creates are configured as its messages need it", async () => {
  const settings = { brokers: [server.address], clientId: "check" };
  const checking = { ...settings, topics: { create: false } };
  const onlyChecks = kafkaTransport(checking, storeTopics, systemRuntime, silentLogger);
  const missing = await onlyChecks.describeTopics?.();
  await onlyChecks.close();
  expect(missing?.map(({ real }) => real.partitions)).toEqual(storeTopics.map(() => undefined));
  // Those that it may create are not reported as missing at a first start.
  const transport = kafkaTransport(settings, storeTopics, systemRuntime, silentLogger);
  const described = (await transport.describeTopics?.()) ?? [];
  expect(described).toHaveLength(storeTopics.length);
  for (const { topic, real } of described) {
    expect(real.config?.["cleanup.policy"]).toBe(topic.config["cleanup.policy"] ?? "delete");
    expect(checkTopic(topic, real)).toEqual([]);
  }
  await transport.close();
}, 120_000);

/* Another part of the process may use kafkajs by itself. */

const OTHER_CLIENT = "other";

test("a producer that is not the kit's fails when the broker refuses its records", async () => {
  await using fixture = new FaultFixture(server);
  const topic = fixture.topic(1);
  await fixture.connect(topic).publish([record(topic, "key", "value")]);
  const producer = otherKafka().producer();
  await producer.connect();
  try {
    server.broker.control.on(ApiKey.Produce, {
      ...{ fault: "fail", code: ErrorCode.INVALID_RECORD },
      when: ({ clientId }) => clientId === OTHER_CLIENT,
    });
    const sent = producer.send({ topic: topic.name, messages: [{ value: "refused" }] });
    expect(await failureOf(sent)).toContain("failed the validation");
    await producer.send({ topic: topic.name, messages: [{ value: "stored" }] });
  } finally {
    await producer.disconnect();
  }
}, 60_000);

test("a consumer that is not the kit's gets headers as kafkajs gives them", async () => {
  await using fixture = new FaultFixture(server);
  const topic = fixture.topic(1);
  const kafka = otherKafka();
  const producer = kafka.producer();
  const consumer = kafka.consumer({ groupId: crypto.randomUUID() });
  const received: unknown[] = [];
  try {
    await fixture.connect(topic).publish([record(topic, "key", "kit", { "content-type": "text/plain" })]);
    await producer.connect();
    const headers = { one: "1", many: ["2", "3"] };
    await producer.send({ topic: topic.name, messages: [{ value: "other", headers }] });
    await consumer.connect();
    await consumer.subscribe({ topic: topic.name, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void received.push(message.headers) });
    await eventually(() => received.length === 2);
  } finally {
    await consumer.disconnect();
    await producer.disconnect();
  }
  expect(received).toEqual([
    { "content-type": Buffer.from("text/plain") },
    { one: Buffer.from("1"), many: [Buffer.from("2"), Buffer.from("3")] },
  ]);
}, 60_000);

function otherKafka(): Kafka {
  return new Kafka({ clientId: OTHER_CLIENT, brokers: [server.address], logLevel: logLevel.NOTHING });
}
