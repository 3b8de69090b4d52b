import type { Admin } from "kafkajs";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { SESSION_TIMEOUT_MS } from "../transport/kafka/consumer-settings.ts";
import { connectTo, type KafkaSettings, kafkaTransport } from "../transport/kafka/kafka.ts";
import type { BrokerAdministration, BrokerOutage, BrokerUnderTest } from "./broker.ts";

/** A broker that speaks the Kafka protocol, whichever it is. */
export function kafkaBroker(
  brokers: readonly string[],
  control: { stop: () => Promise<void>; outage?: BrokerOutage },
): BrokerUnderTest {
  const settings: KafkaSettings = { brokers, clientId: "conformance" };
  return {
    ...control,
    connect: (topics) => kafkaTransport(settings, topics, systemRuntime, silentLogger),
    sessionTimeoutMs: SESSION_TIMEOUT_MS,
    administration: administration(settings),
  };
}

function administration(settings: KafkaSettings): BrokerAdministration {
  const withAdmin = async (work: (admin: Admin) => Promise<unknown>): Promise<void> => {
    const admin = connectTo(settings, silentLogger).admin();
    await admin.connect();
    await work(admin).finally(() => admin.disconnect());
  };
  return {
    addPartitions: ({ name: topic }, count) =>
      withAdmin(async (admin) => {
        await admin.createPartitions({ topicPartitions: [{ topic, count }] });
        // The broker that answered may hear of them later than the one that made them.
        while ((await partitionsOf(admin, topic)) < count) await Bun.sleep(10);
      }),
    deleteRecords: ({ name: topic }, partition, before) =>
      withAdmin(async (admin) => {
        // Without this kafkajs does not know the partition's leader.
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
      }),
    deleteTopic: ({ name: topic }) => withAdmin((admin) => admin.deleteTopics({ topics: [topic] })),
  };
}

async function partitionsOf(admin: Admin, topic: string): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0]?.partitions.length ?? 0;
}
