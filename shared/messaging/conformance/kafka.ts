import { silentLogger, systemRuntime } from "../runtime.ts";
import {
  type Admin,
  KafkaClient,
  type KafkaSettings,
  kafkaTransport,
  SESSION_TIMEOUT_MS,
} from "../transport/kafka/kafka.ts";
import type { BrokerAdministration, BrokerOutage, BrokerUnderTest } from "./broker.ts";
import { rawBatch, store } from "./raw.ts";

/** Any broker that speaks the Kafka protocol, for `transportConformance`. */
export function kafkaBroker(
  brokers: readonly string[],
  control: { stop: () => Promise<void>; outage?: BrokerOutage },
  { isApacheKafka }: { readonly isApacheKafka: boolean },
): BrokerUnderTest {
  const settings: KafkaSettings = { brokers, clientId: "conformance" };
  return {
    ...control,
    store: ({ name }, partition, batch) => store(brokers, name, partition, batch),
    storeInTransaction: ({ name }, value, { commit }) => inTransaction(settings, name, value, commit),
    ...(isApacheKafka
      ? { compresses: true }
      : {
          storeUndecodable: ({ name }, partition, count) =>
            store(brokers, name, partition, rawBatch(count, Buffer.from("not zstd"), 4)),
        }),
    connect: (topics) => kafkaTransport(settings, topics, systemRuntime, silentLogger),
    sessionTimeoutMs: SESSION_TIMEOUT_MS,
    administration: administration(settings),
  };
}

async function inTransaction(
  settings: KafkaSettings,
  topic: string,
  value: string,
  commit: boolean,
): Promise<void> {
  const { kafka } = new KafkaClient(settings, silentLogger);
  // The first transaction of a cluster waits until the broker has made the topic of its transactions.
  const retry = { retries: 10 };
  const options = { transactionalId: crypto.randomUUID(), idempotent: true, maxInFlightRequests: 1, retry };
  const producer = kafka.producer(options);
  await producer.connect();
  try {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ key: "key", value }] });
    await (commit ? transaction.commit() : transaction.abort());
  } finally {
    await producer.disconnect();
  }
}

function administration(settings: KafkaSettings): BrokerAdministration {
  const withAdmin = async (work: (admin: Admin) => Promise<unknown>): Promise<void> => {
    const admin = new KafkaClient(settings, silentLogger).kafka.admin();
    await admin.connect();
    await work(admin).finally(() => admin.disconnect());
  };
  return {
    addPartitions: ({ name: topic }, count) =>
      withAdmin(async (admin) => {
        await admin.createPartitions({ topicPartitions: [{ topic, count }] });
        // Another broker than the one that created them may answer, and know of them later.
        while ((await partitionsOf(admin, topic)) < count) await Bun.sleep(10);
      }),
    deleteRecords: ({ name: topic }, partition, before) =>
      withAdmin(async (admin) => {
        // Makes kafkajs look up the leader of the partition.
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
      }),
    deleteTopic: ({ name: topic }) =>
      withAdmin(async (admin) => {
        await admin.deleteTopics({ topics: [topic] });
        // The broker may learn of it after the controller: until then it appends records to the old log.
        while ((await admin.listTopics()).includes(topic)) await Bun.sleep(10);
      }),
  };
}

async function partitionsOf(admin: Admin, topic: string): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0]?.partitions.length ?? 0;
}
