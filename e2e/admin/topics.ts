import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Kafka, logLevel } from "kafkajs";
import { RawProducer, recordBatch, recordBytes } from "../fuzz/raw-producer.ts";
import { ask, int8, int32, list, type Response, text } from "./raw-client.ts";

/*
 * What a broker tells of its topics: the bytes of their logs, and their partitions in pages. `apache-kafka.ts` compares it
 * with a real Apache Kafka 4.1, `admin.test.ts` with the embedded broker.
 */

const DESCRIBE_LOG_DIRS = 35;
const DESCRIBE_TOPIC_PARTITIONS = 75;
const EMPTY = "described-empty";
const FULL = "described-full";
const PARTITIONS = 3;
const BATCH = recordBatch(0, 1, recordBytes([{ key: null, value: Buffer.from("value"), headers: [] }]));

/** The bytes of each partition. */
async function sizes(port: number, topics: readonly string[], partitions: readonly number[]) {
  const body = list(topics, (name) => [text(name), list(partitions, (index) => [int32(index)])]);
  const response = await ask(port, DESCRIBE_LOG_DIRS, 1, body);
  response.int32();
  const directories = response.list(() => {
    const code = response.int16();
    const path = response.text() ?? "";
    const found = response.list(() => {
      const name = response.text();
      return response.list(() => {
        const index = response.int32();
        const bytes = response.int64();
        const [lag, isFuture] = [response.int64(), response.int8()];
        return `${name}/${index}: ${bytes}, ${lag}, ${isFuture}`;
      });
    });
    return { code, isAbsolute: path.startsWith("/"), found: found.flat().sort() };
  });
  return directories;
}

interface Page {
  readonly topics: readonly string[];
  readonly next: string | undefined;
}

interface PageRequest {
  readonly topics: readonly string[];
  readonly limit?: number;
  readonly from?: readonly [topic: string, partition: number];
}

/** Topics with their error codes and partitions, and where the next page begins. */
async function page(port: number, { topics, limit = 100, from }: PageRequest): Promise<Page> {
  const compact = (content: string) => Buffer.concat([int8(content.length + 1), Buffer.from(content)]);
  const noTags = int8(0);
  const cursor = from ? [int8(1), compact(from[0]), int32(from[1]), noTags] : [int8(-1)];
  const names = topics.flatMap((name) => [compact(name), noTags]);
  const body = Buffer.concat([int8(topics.length + 1), ...names, int32(limit), ...cursor, noTags]);
  const response = await ask(port, DESCRIBE_TOPIC_PARTITIONS, 0, body, { flexible: true });
  response.int32();
  const described = response.compactList(() => {
    const code = response.int16();
    const name = response.compactText();
    response.skip(16); // the id
    const isInternal = response.int8();
    const partitions = response.compactList(() => partition(response));
    response.skip(4 + 1); // the authorized operations, which need an authorizer
    return `${name}: ${code}, ${isInternal}, ${partitions.join(" ")}`;
  });
  if (response.int8() < 0) return { topics: described, next: undefined };
  return { topics: described, next: `${response.compactText()}/${response.int32()}` };
}

/** Its number, error code, leader, replicas, those in sync, those eligible for leader, the last such, and those offline. */
function partition(response: Response): string {
  const code = response.int16();
  const index = response.int32();
  const leader = response.int32();
  const epoch = response.int32();
  const nodes = Array.from({ length: 5 }, () => response.compactList(() => response.int32()).join());
  response.skip(1);
  return [index, code, leader, epoch, ...nodes].join("|");
}

/** Describes topics of the broker on this port, and compares its answers. */
export async function compareDescriptions(port: number): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin();
  const topics = [EMPTY, FULL].map((topic) => ({ topic, numPartitions: PARTITIONS }));
  await admin.createTopics({ waitForLeaders: true, topics });
  await admin.disconnect();
  // A broker may know the leaders of a topic before it has made the logs.
  await eventually(
    async () => (await sizes(port, [EMPTY, FULL], [0, 1]))[0]?.found.length === 4,
    "the logs of both topics",
  );
  const producer = await RawProducer.connect(port);
  await producer.produce(FULL, new Map([[1, BATCH]]));
  producer.close();
  expect(await sizes(port, [FULL, EMPTY, "missing"], [0, 1, 7])).toEqual([
    {
      code: 0,
      isAbsolute: true,
      found: [
        `${EMPTY}/0: 0, 0, 0`,
        `${EMPTY}/1: 0, 0, 0`,
        `${FULL}/0: 0, 0, 0`,
        `${FULL}/1: ${BATCH.length}, 0, 0`,
      ],
    },
  ]);
  expect(await sizes(port, [], [])).toEqual([{ code: 0, isAbsolute: true, found: [] }]);

  const of = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `${from + index}|0|1|0|1|1|||`).join(" ");
  const whole = (name: string) => `${name}: 0, 0, ${of(0, PARTITIONS)}`;
  const wanted = [FULL, EMPTY];
  expect(await page(port, { topics: wanted })).toEqual({ topics: [EMPTY, FULL].map(whole), next: undefined });
  expect(await page(port, { topics: wanted, limit: 2 })).toEqual({
    topics: [`${EMPTY}: 0, 0, ${of(0, 2)}`],
    next: `${EMPTY}/2`,
  });
  expect(await page(port, { topics: wanted, limit: 2, from: [EMPTY, 2] })).toEqual({
    topics: [`${EMPTY}: 0, 0, ${of(2, 3)}`, `${FULL}: 0, 0, ${of(0, 1)}`],
    next: `${FULL}/1`,
  });
  expect(await page(port, { topics: wanted, limit: 3 })).toEqual({
    topics: [whole(EMPTY)],
    next: `${FULL}/0`,
  });
  expect(await page(port, { topics: wanted, limit: 0 })).toEqual({
    topics: [`${EMPTY}: 0, 0, ${of(0, 1)}`],
    next: `${EMPTY}/1`,
  });
  expect(await page(port, { topics: wanted, from: [FULL, 1] })).toEqual({
    topics: [`${FULL}: 0, 0, ${of(1, 3)}`],
    next: undefined,
  });
  expect(await page(port, { topics: wanted, from: [FULL, 7] })).toEqual({
    topics: [`${FULL}: 0, 0, `],
    next: undefined,
  });
  expect(await page(port, { topics: wanted, from: [FULL, -1] })).toEqual({
    topics: [`${FULL}: 42, 0, `, `${EMPTY}: 42, 0, `],
    next: undefined,
  });
  expect(await page(port, { topics: [EMPTY], from: [FULL, 1] })).toEqual({
    topics: [`${EMPTY}: 42, 0, `],
    next: undefined,
  });
  expect(await page(port, { topics: ["missing", "a b"] })).toEqual({
    topics: ["a b: 17, 0, ", "missing: 3, 0, "],
    next: undefined,
  });
  const all = await page(port, { topics: [], from: [EMPTY, 0] });
  expect(all.topics.filter((name) => name.startsWith("described-"))).toEqual([EMPTY, FULL].map(whole));
}
