import { topicPartition } from "@distributed-messaging/messaging";
import {
  AssignerProtocol,
  ConfigResourceTypes,
  Kafka,
  type KafkaMessage,
  logLevel,
  Partitioners,
} from "kafkajs";

/** The bytes of a record. */
export interface RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: NonNullable<KafkaMessage["headers"]>;
}

/** A record to write. Without a partition, its key selects one. */
type NewRecord = Pick<RawRecord, "topic" | "key" | "value"> & Partial<RawRecord>;

/** Reads and writes topics directly. */
export class Records {
  readonly #kafka: Kafka;

  constructor(brokers: string) {
    this.#kafka = new Kafka({ clientId: "e2e", brokers: brokers.split(","), logLevel: logLevel.NOTHING });
  }

  /** Every record that the topic has at the time of the call. */
  async read(topic: string): Promise<RawRecord[]> {
    const left = new Map(Object.entries(await this.ends(topic)));
    if (left.size === 0) return [];
    const records: RawRecord[] = [];
    const consumer = this.#kafka.consumer({ groupId: `e2e-${crypto.randomUUID()}`, maxWaitTimeInMs: 50 });
    const done = Promise.withResolvers<void>();
    consumer.on(consumer.events.CRASH, ({ payload }) => done.reject(payload.error));
    try {
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          const name = topicPartition(topic, batch.partition);
          const end = left.get(name);
          if (end === undefined) return;
          for (const { offset, key, value, headers = {} } of batch.messages) {
            if (Number(offset) < end)
              records.push({ topic, partition: batch.partition, key, value, headers });
          }
          if (Number(batch.lastOffset()) >= end - 1) left.delete(name);
          if (left.size === 0) done.resolve();
        },
      });
      await done.promise;
    } finally {
      await consumer.disconnect();
    }
    return records;
  }

  /** The end offset of each partition that is not empty, by `topic/partition`. */
  ends(topic: string): Promise<Record<string, number>> {
    return this.#asAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      const filled = offsets.filter(({ low, high }) => Number(high) > Number(low));
      return Object.fromEntries(
        filled.map(({ partition, high }) => [topicPartition(topic, partition), Number(high)] as const),
      );
    });
  }

  /** Writes records in the order of the array. Resolves when the broker has acknowledged them. */
  async write(records: readonly NewRecord[]): Promise<void> {
    const producer = this.#kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    try {
      await producer.connect();
      const topicMessages = [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, group]) => ({
        topic,
        messages: group.map(({ topic: _, ...message }) => message),
      }));
      await producer.sendBatch({ acks: -1, topicMessages });
    } finally {
      await producer.disconnect();
    }
  }

  /** The topics whose partitions are assigned to members of a consumer group. */
  readBy(group: string): Promise<string[]> {
    return this.#asAdmin(async (admin) => {
      const { groups } = await admin.describeGroups([group]);
      const assignments = groups.flatMap(({ members }) =>
        members.map(({ memberAssignment }) => AssignerProtocol.MemberAssignment.decode(memberAssignment)),
      );
      return assignments.flatMap((assigned) => Object.keys(assigned?.assignment ?? {}));
    });
  }

  topics(): Promise<string[]> {
    return this.#asAdmin((admin) => admin.listTopics());
  }

  /** Sets settings of a topic, and leaves the others at their defaults. */
  async configure(topic: string, config: Readonly<Record<string, string>>): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }];
    await this.#asAdmin((admin) => admin.alterConfigs({ validateOnly: false, resources }));
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#asAdmin((admin) => admin.deleteTopics({ topics: [topic] }));
  }

  /** @param count how many there are afterwards */
  addPartitions(topic: string, count: number): Promise<boolean> {
    return this.#asAdmin((admin) => admin.createPartitions({ topicPartitions: [{ topic, count }] }));
  }

  /** Removes every record that a topic has, as retention does. */
  async removeAll(topic: string): Promise<void> {
    await this.#asAdmin(async (admin) => {
      const ends = await admin.fetchTopicOffsets(topic);
      const partitions = ends.map(({ partition, high }) => ({ partition, offset: high }));
      await admin.deleteTopicRecords({ topic, partitions });
    });
  }

  async #asAdmin<T>(work: (admin: ReturnType<Kafka["admin"]>) => Promise<T>): Promise<T> {
    const admin = this.#kafka.admin();
    try {
      await admin.connect();
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }
}
