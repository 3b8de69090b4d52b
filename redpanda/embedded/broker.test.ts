/** The broker as a library: its options, and what a program gets. */
import { afterEach, expect, spyOn, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { type BrokerOptions, startBroker } from "./broker.ts";
import { ErrorCode } from "./errors.ts";
import { compact } from "./log/compaction.ts";
import type { Logger } from "./logger.ts";
import { ApiKey } from "./registry.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { adminFor, kafkaFor, producerFor } from "./testing/kafkajs.ts";
import { RawClient } from "./testing/raw-client.ts";
import { PRODUCE, produceBody, produced } from "./testing/requests.ts";
import { cleanAll, cleanUp, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

async function started(options?: BrokerOptions) {
  const broker = await startBroker(options);
  cleanUp(() => broker.stop());
  return broker;
}

test("without options it is in memory, on a free port of localhost, and ends with its scope", async () => {
  let brokers: string[] = [];
  {
    await using broker = await startBroker();
    await using other = await startBroker();
    expect(broker.brokers).toEqual([`localhost:${broker.listening.port}`]);
    expect(other.brokers).not.toEqual(broker.brokers);
    brokers = broker.brokers;
    await broker.createTopic({ name: "t", partitions: 2, config: { "cleanup.policy": "compact" } });
    await expect(broker.createTopic({ name: "t" })).rejects.toMatchObject({
      code: ErrorCode.TOPIC_ALREADY_EXISTS,
    });
    const admin = await adminFor(kafkaFor(broker));
    expect((await admin.fetchTopicMetadata({ topics: ["t"] })).topics[0]?.partitions).toHaveLength(2);
    await cleanAll();
  }
  const [port = ""] = brokers.map((address) => address.split(":")[1]);
  await expect(startBroker({ port: Number(port) }).then((next) => next.stop())).resolves.toBeUndefined();
});

test("the topics of the options are there when it has started, and a second start takes them as they are", async () => {
  const dataDir = await temporaryDirectory();
  const topics = [
    { name: "a", partitions: 3 },
    { name: "b", config: { "retention.ms": "1000" } },
  ];
  const options = { dataDir, topics, defaultPartitions: 2 };
  for (const round of [1, 2]) {
    const broker = await startBroker(options);
    const found = broker.topics
      .all()
      .map(({ name, partitions, overrides }) => [name, partitions.length, overrides]);
    expect({ round, found }).toEqual({
      round,
      found: [
        ["a", 3, {}],
        ["b", 2, { "retention.ms": "1000" }],
      ],
    });
    await broker.stop();
  }
  const wrong = startBroker({ ...options, topics: [{ name: "a", partitions: 4 }] });
  await expect(wrong).rejects.toThrow("topic a exists with 3 partitions, not 4");
  // It was released: another one can start.
  await (await startBroker(options)).stop();
});

test("clients are given the advertised address, and use it", async () => {
  const target = await started();
  const broker = await started({ advertised: `127.0.0.1:${target.port}` });
  expect(broker.brokers).toEqual([`127.0.0.1:${target.port}`]);
  expect(broker.listening.port).not.toBe(target.port);
  const client = await RawClient.connect(broker);
  const metadata = await client.request(ApiKey.Metadata, 1, (writer) => writer.int32(0));
  const brokers = metadata.structs(() => [
    metadata.int32(),
    metadata.string(),
    metadata.int32(),
    metadata.nullableString(),
  ]);
  expect(brokers).toEqual([[1, "127.0.0.1", target.port, null]]);
  // The client found the target at the address.
  const admin = await adminFor(kafkaFor({ port: broker.listening.port }));
  expect((await admin.describeCluster()).clusterId).toBe(target.clusterId);
  const ipv6 = await started({ advertised: "[::1]:9092" });
  expect([ipv6.host, ipv6.port, ipv6.brokers]).toEqual(["::1", 9092, ["[::1]:9092"]]);
  await expect(startBroker({ advertised: "here" })).rejects.toThrow('advertised: "here" is not a host:port');
});

test("that other machines may connect is logged, and that they are given an address of theirs", async () => {
  const logged = async (options: BrokerOptions) => {
    const warnings: string[] = [];
    const ignore = () => {};
    const logger: Logger = {
      debug: ignore,
      info: ignore,
      warn: (msg, fields) => warnings.push(`${msg} ${JSON.stringify(fields)}`),
      error: ignore,
    };
    const broker = await startBroker({ ...options, logger });
    const { host, port } = broker;
    await broker.stop();
    return { host, port, warnings };
  };
  expect((await logged({})).warnings).toEqual([]);
  expect((await logged({ host: "127.0.0.1" })).warnings).toEqual([]);
  const access = 'other machines may connect, and there is no access control {"host":"0.0.0.0"}';
  const given = "only clients on this machine can use the address that they are given: set `advertised`";
  const wildcard = await logged({ host: "0.0.0.0" });
  expect(wildcard.host).toBe("localhost");
  expect(wildcard.warnings).toEqual([
    access,
    `${given} {"host":"0.0.0.0","clientsAreGiven":"localhost:${wildcard.port}"}`,
  ]);
  const advertised = await logged({ host: "0.0.0.0", advertised: "broker.example:9092" });
  expect(advertised.warnings).toEqual([access]);
});

test("without memory records are refused as with a full disk, until some are deleted", async () => {
  const broker = await started({ maxMemoryBytes: 200_000 });
  await broker.createTopic({ name: "t" });
  await broker.createTopic({ name: "u" });
  const client = await RawClient.connect(broker);
  const send = async (topic: string) =>
    produced(await client.request(ApiKey.Produce, PRODUCE, produceBody(topic, batchOf(["x".repeat(60_000)]))))
      .code;
  const codes = [await send("t"), await send("t"), await send("t"), await send("t")];
  expect(codes[0]).toBe(ErrorCode.NONE);
  expect(codes.at(-1)).toBe(ErrorCode.KAFKA_STORAGE_ERROR);
  const admin = await adminFor(kafkaFor(broker));
  await admin.deleteTopics({ topics: ["t"] });
  expect(await send("u")).toBe(ErrorCode.NONE);
});

test("a topic in memory is compacted", async () => {
  const broker = await started();
  await broker.createTopic({
    name: "t",
    config: { "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0" },
  });
  const producer = await producerFor(kafkaFor(broker));
  const messages = ["1", "2", "3"].map((value) => ({ key: "k", value }));
  await producer.send({ topic: "t", messages });
  const log = broker.topics.log({ name: "t", id: null }, 0);
  await log.roll();
  await log.maintain(() => compact(log));
  expect(textsIn(await log.read(0, 1024, true))).toEqual(["2:k=3"]);
  expect((await broker.disk.list("/")).sort()).toEqual(["state.journal", "topics"]);
});

test("a log that cannot be closed does not keep the data directory locked, and the stop is not recorded as clean", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await startBroker({ dataDir, topics: [{ name: "t" }] });
  const log = broker.topics.log({ name: "t", id: null }, 0);
  const close = spyOn(log, "close").mockRejectedValue(new Error("input/output error"));
  await expect(broker.stop()).rejects.toThrow("input/output error");
  close.mockRestore();
  await log.close();
  expect(await readdir(dataDir)).not.toContain("clean-stop");
  await (await startBroker({ dataDir })).stop();
  expect(await readdir(dataDir)).toContain("clean-stop");
});

test("the close of the topics ends when all logs are closed, also when one fails", async () => {
  const { topics } = await started({ topics: [{ name: "t", partitions: 2 }] });
  const [first, second] = topics.resolve({ name: "t", id: null }).partitions;
  if (!first || !second) throw new Error("the topic has two partitions");
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const spies = [
    spyOn(first, "close").mockRejectedValue(new Error("input/output error")),
    spyOn(second, "close").mockReturnValue(closed),
  ];
  let ended = false;
  const closing = topics.close().finally(() => {
    ended = true;
  });
  closing.catch(() => {});
  await new Promise(setImmediate);
  expect(ended).toBe(false);
  close();
  await expect(closing).rejects.toThrow("input/output error");
  for (const spy of spies) spy.mockRestore();
});
