import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Kafka, logLevel } from "kafkajs";
import { ask, bytes, int16, int32, int64, list, text } from "./raw-client.ts";

/*
 * What a broker answers to the deletion of committed offsets. The codes are those of Apache Kafka 4.1, which
 * `apache-kafka.ts` compares with a real one, and `admin.test.ts` with the embedded broker.
 */

const NONE = 0;
const UNKNOWN_TOPIC = 3;
const INVALID_GROUP_ID = 24;
const NON_EMPTY_GROUP = 68;
const GROUP_ID_NOT_FOUND = 69;
const GROUP_SUBSCRIBED_TO_TOPIC = 86;

const OFFSET_COMMIT = 8;
const JOIN_GROUP = 11;
const OFFSET_DELETE = 47;

const [SUBSCRIBED, OTHER] = ["subscribed-topic", "other-topic"];
const SESSION_MS = 60_000;

type Partitions = readonly (readonly [topic: string, ...partitions: number[]])[];

/** @returns the code of the group, then those of the partitions */
async function deleteOffsets(port: number, group: string, topics: Partitions): Promise<string> {
  const body = [
    text(group),
    list(topics, ([name, ...partitions]) => [text(name), list(partitions, (index) => [int32(index)])]),
  ];
  const response = await ask(port, OFFSET_DELETE, 0, Buffer.concat(body));
  const code = response.int16();
  response.int32();
  const results = response.list(() => {
    const name = response.text();
    return response.list(() => `${name}/${response.int32()}: ${response.int16()}`);
  });
  return [code, ...results.flat().sort()].join(", ");
}

/** Makes a member that sends no heartbeats. Resolves when the group has a generation with it. */
async function join(port: number, group: string, protocolType: string, metadata: Buffer): Promise<void> {
  const protocols = list(["range"], (name) => [text(name), bytes(metadata)]);
  const member = [text(group), int32(SESSION_MS), int32(SESSION_MS), text(""), text(protocolType), protocols];
  const response = await ask(port, JOIN_GROUP, 2, Buffer.concat(member));
  response.int32();
  expect(response.int16()).toBe(NONE);
}

/** Commits the offset 5 of two partitions of both topics. @returns whether the coordinator has done it */
async function commit(port: number, group: string): Promise<boolean> {
  const topics = list([SUBSCRIBED, OTHER], (topic) => [
    text(topic),
    list([0, 1], (partition) => [int32(partition), int64(5), text(null)]),
  ]);
  const [noGeneration, noMember, noRetention] = [int32(-1), text(""), int64(-1)];
  const body = Buffer.concat([text(group), noGeneration, noMember, noRetention, topics]);
  const response = await ask(port, OFFSET_COMMIT, 2, body);
  const codes = response.list(() => {
    response.text();
    return response.list(() => [response.int32(), response.int16()][1]);
  });
  return codes.flat().every((code) => code === NONE);
}

/** Of a consumer: the version, the topics, and what the user adds. */
const subscription = (topic: string) =>
  Buffer.concat([int16(0), list([topic], (name) => [text(name)]), bytes(Buffer.alloc(0))]);

interface Row {
  readonly what: string;
  readonly group: string;
  readonly topics: Partitions;
  readonly code: number;
  readonly partitions?: Readonly<Record<string, number>>;
}

const rows: readonly Row[] = [
  { what: "no such group", group: "none", topics: [[OTHER, 0]], code: GROUP_ID_NOT_FOUND },
  { what: "no such group, nothing to delete", group: "none", topics: [], code: GROUP_ID_NOT_FOUND },
  {
    ...{ what: "neither such a group nor such a topic", group: "none", topics: [["missing", 0]] },
    ...{ code: GROUP_ID_NOT_FOUND },
  },
  { what: "no name of a group", group: "", topics: [[OTHER, 0]], code: INVALID_GROUP_ID },
  {
    ...{ what: "a group without members", group: "offsets", topics: [[OTHER, 0]] },
    ...{ code: NONE, partitions: { [`${OTHER}/0`]: NONE } },
  },
  {
    ...{ what: "the same again", group: "offsets", topics: [[OTHER, 0]] },
    ...{ code: NONE, partitions: { [`${OTHER}/0`]: NONE } },
  },
  {
    what: "partitions and a topic that do not exist",
    group: "offsets",
    topics: [
      [OTHER, 2, -1],
      ["missing", 0],
    ],
    code: NONE,
    partitions: { "missing/0": UNKNOWN_TOPIC, [`${OTHER}/-1`]: UNKNOWN_TOPIC, [`${OTHER}/2`]: UNKNOWN_TOPIC },
  },
  {
    what: "a group with a subscription",
    group: "consumers",
    topics: [
      [SUBSCRIBED, 0],
      [OTHER, 0],
    ],
    code: NONE,
    partitions: { [`${OTHER}/0`]: NONE, [`${SUBSCRIBED}/0`]: GROUP_SUBSCRIBED_TO_TOPIC },
  },
  {
    ...{ what: "a group with what is no subscription", group: "garbage", topics: [[OTHER, 0]] },
    ...{ code: NONE, partitions: { [`${OTHER}/0`]: GROUP_SUBSCRIBED_TO_TOPIC } },
  },
  { what: "a group of no consumers", group: "workers", topics: [[OTHER, 0]], code: NON_EMPTY_GROUP },
];

/** Sends each row of the table to the broker on this port, and compares its answers. */
export async function compareOffsetDeletions(port: number): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const topics = [SUBSCRIBED, OTHER].map((topic) => ({ topic, numPartitions: 2 }));
  await admin.createTopics({ waitForLeaders: true, topics });
  // Finds the coordinators, which a cluster may have to make first.
  await eventually(() => admin.fetchOffsets({ groupId: "offsets" }));
  for (const group of ["offsets", "consumers"]) await eventually(() => commit(port, group));
  await Promise.all([
    join(port, "consumers", "consumer", subscription(SUBSCRIBED)),
    join(port, "garbage", "consumer", Buffer.from([0])),
    join(port, "workers", "connect", subscription(OTHER)),
  ]);
  const answers: string[] = [];
  for (const { what, group, topics: wanted } of rows) {
    answers.push(`${what}: ${await deleteOffsets(port, group, wanted)}`);
  }
  const expected = rows.map(({ what, code, partitions = {} }) => {
    const codes = Object.entries(partitions).map(([partition, result]) => `${partition}: ${result}`);
    return `${what}: ${[code, ...codes].join(", ")}`;
  });
  expect(answers).toEqual(expected);
  const left = async (groupId: string) => {
    const found = await admin.fetchOffsets({ groupId, topics: [SUBSCRIBED, OTHER] });
    return found.map(({ partitions }) => partitions.map(({ offset }) => offset));
  };
  expect(await left("offsets")).toEqual([
    ["5", "5"],
    ["-1", "5"],
  ]);
  expect(await left("consumers")).toEqual([
    ["5", "5"],
    ["-1", "5"],
  ]);
  await admin.disconnect();
}
