/** `@platformatic/kafka`. */
import {
  Admin,
  type CompressionAlgorithmValue,
  ConfigResourceTypes,
  Consumer,
  IncrementalAlterConfigOperationTypes,
  type MessagesStream,
  MessagesStreamModes,
  type ProduceOptions,
  Producer,
} from "@platformatic/kafka";
// The package does not tell its version.
import manifest from "../../package.json" with { type: "json" };
import type { Answer, StoredRecord } from "../client.ts";
import { acksNumber, base64, bytes, emit, incoming, type ParsedCommand, serve } from "./commands.ts";

type Bytes = Buffer | undefined;

const READ_UNCOMMITTED = 0;
const READ_COMMITTED = 1;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const EARLIEST = -2n;
const LATEST = -1n;

const settings = {
  clientId: "platformatic",
  bootstrapBrokers: (process.argv[2] ?? "").split(","),
  retries: 5,
  retryDelay: 100,
};
const admin = new Admin(settings);

const isCodec = (name: string): name is CompressionAlgorithmValue =>
  ["none", "gzip", "snappy", "lz4", "zstd"].includes(name);

const messagesOf = ({ topic, partition, records }: ParsedCommand) =>
  records.map(({ key, value, headers, timestamp }) => ({
    topic,
    partition,
    key: bytes(key) ?? undefined,
    value: bytes(value) ?? undefined,
    headers: new Map(headers.map(([name, content]) => [Buffer.from(name), Buffer.from(content)])),
    timestamp: BigInt(timestamp),
  }));

async function withProducer(
  more: ProduceOptions<Bytes, Bytes, Buffer, Buffer> & { readonly transactionalId?: string },
  use: (producer: Producer<Bytes, Bytes, Buffer, Buffer>) => Promise<void>,
): Promise<undefined> {
  const producer = new Producer<Bytes, Bytes, Buffer, Buffer>({ ...settings, ...more });
  try {
    await use(producer);
  } finally {
    await producer.close(true);
  }
}

const produce = (command: ParsedCommand) =>
  withProducer({ idempotent: command.idempotent }, async (producer) => {
    const compression = isCodec(command.codec) ? command.codec : "none";
    await producer.send({ messages: messagesOf(command), acks: acksNumber[command.acks] ?? -1, compression });
  });

/** It reads in groups only. The offsets that a stream fetches next tell how far it is. */
async function consume({ topics, committed }: ParsedCommand): Promise<Answer> {
  const groupId = `platformatic-${crypto.randomUUID()}`;
  const isolationLevel = committed ? READ_COMMITTED : READ_UNCOMMITTED;
  const consumer = new Consumer<Buffer, Buffer, Buffer, Buffer>({
    ...settings,
    groupId,
    isolationLevel,
    maxWaitTime: 50,
  });
  const names = Object.keys(topics);
  const ends = await consumer.listOffsets({ topics: names, timestamp: LATEST, isolationLevel });
  const starts = await consumer.listOffsets({ topics: names, timestamp: EARLIEST });
  const left = new Set(
    [...ends].flatMap(([topic, offsets]) =>
      offsets.flatMap((end, partition) =>
        end > (starts.get(topic)?.[partition] ?? 0n) ? [`${topic}:${partition}`] : [],
      ),
    ),
  );
  const records: StoredRecord[] = [];
  if (left.size > 0) {
    const stream = await consumer.consume({
      topics: names,
      mode: MessagesStreamModes.EARLIEST,
      autocommit: false,
    });
    stream.on("data", ({ topic, partition, offset, timestamp, key, value, headerEntries }) => {
      const headers = headerEntries.map(([name, content]) => [String(name), String(content)] as const);
      records.push(incoming({ topic, partition }, offset, timestamp, [key, value], headers));
    });
    await untilRead(stream, left, ends);
    await stream.close();
  }
  await consumer.close(true);
  return { records };
}

/** Resolves when the stream has read each of these partitions, `topic:partition`, to its end. */
async function untilRead(
  stream: MessagesStream<Buffer, Buffer, Buffer, Buffer>,
  left: Set<string>,
  ends: ReadonlyMap<string, readonly bigint[]>,
): Promise<void> {
  const read = Promise.withResolvers<void>();
  stream.on("error", read.reject);
  stream.on("fetch", () => {
    for (const [place, next] of stream.offsetsToFetch) {
      const at = place.lastIndexOf(":");
      if (next >= (ends.get(place.slice(0, at))?.[Number(place.slice(at + 1))] ?? 0n)) left.delete(place);
    }
    if (left.size === 0) read.resolve();
  });
  await read.promise;
}

async function offsetsForTimes({ topic, partition, timestamps }: ParsedCommand): Promise<Answer> {
  const offsets: number[] = [];
  for (const timestamp of timestamps) {
    const partitions = [{ partitionIndex: partition, timestamp: BigInt(timestamp) }];
    const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions }] });
    offsets.push(Number(found?.partitions[0]?.offset));
  }
  return { offsets };
}

const transaction = (command: ParsedCommand) =>
  withProducer({ idempotent: true, transactionalId: command.id }, async (producer) => {
    const open = await producer.beginTransaction();
    await open.send({ messages: messagesOf(command) });
    if (command.end === "commit") await open.commit();
    else await open.abort();
  });

let member: Consumer<Buffer, Buffer, Buffer, Buffer> | undefined;
let stream: MessagesStream<Buffer, Buffer, Buffer, Buffer> | undefined;

async function join({ group, topic }: ParsedCommand): Promise<undefined> {
  const consumer = new Consumer<Buffer, Buffer, Buffer, Buffer>({
    ...settings,
    groupId: group,
    sessionTimeout: 6_000,
    rebalanceTimeout: 6_000,
    heartbeatInterval: 500,
    maxWaitTime: 100,
  });
  member = consumer;
  consumer.on("consumer:group:rebalance", () => emit({ assigned: [] }));
  consumer.on("consumer:group:join", () => {
    emit({ assigned: consumer.assignments?.flatMap(({ partitions }) => partitions) ?? [] });
  });
  const mode = MessagesStreamModes.COMMITTED;
  stream = await consumer.consume({ topics: [topic], mode, fallbackMode: "earliest", autocommit: false });
  // In the order of their arrival: a commit does not overtake an earlier one.
  let handled = Promise.resolve();
  stream.on("data", (message) => {
    emit({
      record: { partition: message.partition, offset: Number(message.offset), value: base64(message.value) },
    });
    handled = handled.then(async () => {
      // It fails during a rebalance: then the next owner of the partition gets the record again.
      await Promise.resolve(message.commit()).catch(() => {});
    });
  });
  return undefined;
}

await serve(
  "@platformatic/kafka",
  manifest.dependencies["@platformatic/kafka"],
  {
    produce,
    consume,
    "offsets-for-times": offsetsForTimes,
    "create-topic": async ({ topic, partitions, configs }) => {
      const entries = Object.entries(configs).map(([name, value]) => ({ name, value }));
      await admin.createTopics({ topics: [{ topic, partitions, replicas: 1 }], configs: entries });
      return undefined;
    },
    "delete-topic": async ({ topic }) => {
      await admin.deleteTopics({ topics: [topic] });
      return undefined;
    },
    "describe-topic": async ({ topic }) => {
      try {
        const metadata = await admin.metadata({ topics: [topic], forceUpdate: true, retries: 0 });
        return { partitions: metadata.topics.get(topic)?.partitionsCount };
      } catch (error) {
        // It does not pass on the broker's error.
        if (String(error).includes("Unknown topic")) return { error: UNKNOWN_TOPIC_OR_PARTITION };
        throw error;
      }
    },
    "describe-configs": async ({ topic, names }) => {
      const resources = [
        { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: names },
      ];
      const [described] = await admin.describeConfigs({ resources });
      return {
        configs: Object.fromEntries(described?.configs.map(({ name, value }) => [name, value]) ?? []),
      };
    },
    "alter-configs": async ({ topic, configs }) => {
      const changes = Object.entries(configs).map(([name, value]) => ({
        name,
        value,
        configOperation: IncrementalAlterConfigOperationTypes.SET,
      }));
      await admin.incrementalAlterConfigs({
        resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs: changes }],
      });
      return undefined;
    },
    "create-partitions": async ({ topic, partitions }) => {
      await admin.createPartitions({ topics: [{ name: topic, count: partitions, assignments: null }] });
      return undefined;
    },
    "delete-records": async ({ topic, partition, before }) => {
      const topics = [{ name: topic, partitions: [{ partition, offset: BigInt(before) }] }];
      const [deleted] = await admin.deleteRecords({ topics });
      return { low: Number(deleted?.partitions[0]?.lowWatermark) };
    },
    "list-groups": async () => ({ groups: [...(await admin.listGroups()).keys()] }),
    "describe-group": async ({ group }) => {
      const described = (await admin.describeGroups({ groups: [group] })).get(group);
      return { state: stateName(described?.state ?? ""), members: described?.members.size };
    },
    "delete-group": async ({ group }) => {
      await admin.deleteGroups({ groups: [group] });
      return undefined;
    },
    "delete-offsets": async ({ group, topic, partition }) => {
      await admin.deleteConsumerGroupOffsets({
        groupId: group,
        topics: [{ name: topic, partitionIndexes: [partition] }],
      });
      return undefined;
    },
    committed: async ({ group, topic, partitions }) => {
      const [fetched] = await admin.listConsumerGroupOffsets({ groups: [group] });
      const found = fetched?.topics.find(({ name }) => name === topic)?.partitions ?? [];
      const of = (wanted: number) =>
        found.find(({ partitionIndex }) => partitionIndex === wanted)?.committedOffset ?? -1n;
      return { offsets: Array.from({ length: partitions }, (_, partition) => Number(of(partition))) };
    },
    transaction,
    // Commits with a producer after another one has taken its transactional id: the error is the answer.
    fence: (command) =>
      withProducer({ idempotent: true, transactionalId: command.id }, async (older) => {
        const open = await older.beginTransaction();
        await open.send({ messages: messagesOf(command) });
        await transaction({ ...command, end: "commit" });
        await open.commit();
      }),
    join,
    leave: async () => {
      await stream?.close();
      await member?.close(true);
      return undefined;
    },
  },
  codeOf,
);

/** It gives states in capitals, as in `EMPTY`. */
function stateName(state: string): string {
  return state.charAt(0) + state.slice(1).toLowerCase();
}

/** The broker's error is somewhere among the causes. */
function codeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("apiCode" in error && typeof error.apiCode === "number") return error.apiCode;
  const causes: unknown[] = "errors" in error && Array.isArray(error.errors) ? error.errors : [];
  for (const cause of [...causes, Reflect.get(error, "cause")]) {
    const code = codeOf(cause);
    if (code !== undefined) return code;
  }
  return undefined;
}
