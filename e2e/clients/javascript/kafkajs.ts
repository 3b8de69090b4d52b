/**
 * kafkajs. It has gzip, and takes the other codecs from outside; none of the packages for lz4 reads what every client
 * writes, and writes what Apache Kafka takes. These are the kit's decoders, and the encoders of the tests.
 */
import { decompress } from "@distributed-messaging/messaging/internal";
import {
  CompressionCodecs,
  CompressionTypes,
  ConfigResourceTypes,
  type Consumer,
  Kafka,
  logLevel,
  type Producer,
} from "kafkajs";
import manifest from "kafkajs/package.json" with { type: "json" };
import { codecNumber, compress } from "../../fuzz/raw-producer.ts";
import type { StoredRecord } from "../client.ts";
import { acksNumber, base64, bytes, emit, incoming, type ParsedCommand, serve } from "./commands.ts";

interface Encoder {
  readonly buffer: Buffer;
}

const codec = (name: "snappy" | "lz4" | "zstd") => () => ({
  compress: async ({ buffer }: Encoder) => compress(name, buffer),
  decompress: async (buffer: Buffer) => decompress(codecNumber(name), buffer),
});
CompressionCodecs[CompressionTypes.Snappy] = codec("snappy");
CompressionCodecs[CompressionTypes.LZ4] = codec("lz4");
CompressionCodecs[CompressionTypes.ZSTD] = codec("zstd");

const compressions: Readonly<Record<string, CompressionTypes>> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

const TOPIC_ALREADY_EXISTS = 36;

const kafka = new Kafka({
  clientId: "kafkajs",
  brokers: (process.argv[2] ?? "").split(","),
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 8 },
});
// A topic that is missing, which the client asks for again and again.
const admin = kafka.admin({ retry: { initialRetryTime: 20, retries: 2 } });
await admin.connect();

const messagesOf = ({ partition, records }: ParsedCommand) =>
  records.map(({ key, value, headers, timestamp }) => ({
    partition,
    key: bytes(key),
    value: bytes(value),
    headers: Object.fromEntries(
      headers.map(([name]) => [name, headers.flatMap(([other, text]) => (other === name ? [text] : []))]),
    ),
    timestamp: String(timestamp),
  }));

async function send(producer: Producer, command: ParsedCommand): Promise<void> {
  await producer.connect();
  try {
    await producer.send({
      topic: command.topic,
      acks: acksNumber[command.acks] ?? -1,
      compression: compressions[command.codec] ?? CompressionTypes.None,
      messages: messagesOf(command),
    });
  } finally {
    await producer.disconnect();
  }
}

/** kafkajs reads in groups only. Its events tell how far it is, as it does not show control records. */
async function consume({ topics, committed }: ParsedCommand) {
  const groupId = `kafkajs-${crypto.randomUUID()}`;
  const consumer = kafka.consumer({ groupId, readUncommitted: !committed, maxWaitTimeInMs: 50 });
  const names = Object.keys(topics);
  const ends = new Map<string, number>();
  for (const topic of names) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      if (low !== high) ends.set(`${topic} ${partition}`, Number(high));
    }
  }
  const read = Promise.withResolvers<void>();
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { topic, partition, lastOffset } }) => {
    const end = ends.get(`${topic} ${partition}`);
    if (end !== undefined && Number(lastOffset) >= end - 1) ends.delete(`${topic} ${partition}`);
    if (ends.size === 0) read.resolve();
  });
  consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => {
    if (!restart) read.reject(error);
  });
  const records: StoredRecord[] = [];
  await consumer.connect();
  await consumer.subscribe({ topics: names, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message: { offset, timestamp, key, value, headers = {} } }) => {
      const flat = Object.entries(headers).flatMap(([name, content]) =>
        (Array.isArray(content) ? content : [content]).map((each) => [name, String(each)] as const),
      );
      records.push(incoming({ topic, partition }, offset, timestamp, [key, value], flat));
    },
  });
  if (ends.size > 0) await read.promise;
  await consumer.disconnect();
  return { records };
}

function transactional({ id }: ParsedCommand): Producer {
  return kafka.producer({ transactionalId: id, idempotent: true, maxInFlightRequests: 1 });
}

async function transaction(command: ParsedCommand): Promise<void> {
  const producer = transactional(command);
  await producer.connect();
  const open = await producer.transaction();
  await open.send({ topic: command.topic, messages: messagesOf(command) });
  if (command.end === "commit") await open.commit();
  else await open.abort();
  await producer.disconnect();
}

let member: Consumer | undefined;

await serve(
  "kafkajs",
  manifest.version,
  {
    produce: async (command) => {
      await send(kafka.producer({ idempotent: command.idempotent }), command);
      return undefined;
    },
    consume,
    "offsets-for-times": async ({ topic, partition, timestamps }) => {
      const offsets: number[] = [];
      const [end] = (await admin.fetchTopicOffsets(topic)).filter((each) => each.partition === partition);
      for (const timestamp of timestamps) {
        const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
        const offset = found.find((each) => each.partition === partition)?.offset;
        // The end of the log stands in for an offset where no record is that late.
        offsets.push(offset === end?.high ? -1 : Number(offset));
      }
      return { offsets };
    },
    "create-topic": async ({ topic, partitions, configs }) => {
      const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
      const created = await admin.createTopics({
        topics: [{ topic, numPartitions: partitions, configEntries }],
        waitForLeaders: false,
      });
      return created ? undefined : { error: TOPIC_ALREADY_EXISTS };
    },
    "delete-topic": async ({ topic }) => {
      await admin.deleteTopics({ topics: [topic] });
      return undefined;
    },
    "describe-topic": async ({ topic }) => {
      const [described] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics;
      return { partitions: described?.partitions.length };
    },
    "describe-configs": async ({ topic, names }) => {
      const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
      const { resources: described } = await admin.describeConfigs({ resources, includeSynonyms: false });
      const entries =
        described[0]?.configEntries.filter(({ configName }) => names.includes(configName)) ?? [];
      return {
        configs: Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue])),
      };
    },
    "create-partitions": async ({ topic, partitions }) => {
      await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] });
      return undefined;
    },
    "delete-records": async ({ topic, partition, before }) => {
      // It finds the leaders of topics only that it has met before.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
      const [{ low } = { low: "-1" }] = await admin.fetchTopicOffsets(topic);
      return { low: Number(low) };
    },
    "list-groups": async () => ({ groups: (await admin.listGroups()).groups.map(({ groupId }) => groupId) }),
    "describe-group": async ({ group }) => {
      const [described] = (await admin.describeGroups([group])).groups;
      return { state: described?.state, members: described?.members.length };
    },
    "delete-group": async ({ group }) => {
      await admin.deleteGroups([group]);
      return undefined;
    },
    committed: async ({ group, topic, partitions }) => {
      const [fetched] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const of = (wanted: number) =>
        fetched?.partitions.find(({ partition }) => partition === wanted)?.offset ?? -1;
      return { offsets: Array.from({ length: partitions }, (_, partition) => Number(of(partition))) };
    },
    transaction: async (command) => {
      await transaction(command);
      return undefined;
    },
    // Commits with a producer after another one has taken its transactional id: the error is the answer.
    fence: async (command) => {
      const older = transactional(command);
      await older.connect();
      const open = await older.transaction();
      await open.send({ topic: command.topic, messages: messagesOf(command) });
      await transaction({ ...command, end: "commit" });
      try {
        await open.commit();
      } finally {
        await older.disconnect();
      }
      return undefined;
    },
    join: async ({ group, topic }) => {
      member = kafka.consumer({
        groupId: group,
        sessionTimeout: 6_000,
        heartbeatInterval: 500,
        maxWaitTimeInMs: 100,
      });
      member.on(member.events.GROUP_JOIN, ({ payload }) => {
        emit({ assigned: payload.memberAssignment[topic] ?? [] });
      });
      member.on(member.events.REBALANCING, () => emit({ assigned: [] }));
      await member.connect();
      await member.subscribe({ topic, fromBeginning: true });
      await member.run({
        autoCommitThreshold: 1,
        eachMessage: async ({ partition, message: { offset, value } }) => {
          emit({ record: { partition, offset: Number(offset), value: base64(value) } });
        },
      });
      return undefined;
    },
    leave: async () => {
      await member?.disconnect();
      return undefined;
    },
  },
  codeOf,
);

/** kafkajs wraps the broker's errors in several ways. */
function codeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("code" in error && typeof error.code === "number") return error.code;
  for (const field of ["cause", "errors", "groups", "partitions", "error"]) {
    const inner: unknown = Reflect.get(error, field);
    const code = codeOf(Array.isArray(inner) ? inner[0] : inner);
    if (code !== undefined) return code;
  }
  return undefined;
}
