import { eventually } from "@distributed-messaging/messaging/testing";
import { Kafka, logLevel } from "kafkajs";
import { RawProducer, recordBatch, recordBytes } from "../fuzz/raw-producer.ts";
import { type Answer, type ClientRecord, codecs } from "./client.ts";

/** What the script does on a broker beside the client under test: one connection, one request at a time. */
export class Runtime {
  readonly brokers: string;
  readonly #apis: ReadonlySet<number>;
  readonly #raw: RawProducer;
  readonly #admin;

  private constructor(port: number, apis: ReadonlySet<number>, raw: RawProducer) {
    this.brokers = `127.0.0.1:${port}`;
    this.#apis = apis;
    this.#raw = raw;
    this.#admin = new Kafka({ brokers: [this.brokers], logLevel: logLevel.NOTHING }).admin();
  }

  /** @param apis the keys of the APIs that the script may use */
  static async connect(port: number, apis: ReadonlySet<number>): Promise<Runtime> {
    const runtime = new Runtime(port, apis, await RawProducer.connect(port));
    await runtime.#admin.connect();
    return runtime;
  }

  /** Whether every broker of the comparison has the API with this key. */
  has(api: number): boolean {
    return this.#apis.has(api);
  }

  /** A topic whose records are kept, however old they are. Resolves when clients can use it. */
  async createTopic(topic: string, partitions: number, configs: Record<string, string> = {}): Promise<void> {
    const configEntries = Object.entries({ "retention.ms": "-1", ...configs }).map(([name, value]) => ({
      name,
      value,
    }));
    const topics = [{ topic, numPartitions: partitions, configEntries }];
    await this.#admin.createTopics({ topics, waitForLeaders: false });
    await eventually(async () => {
      const [created] = (await this.#admin.fetchTopicMetadata({ topics: [topic] })).topics;
      if (created?.partitions.length !== partitions) return false;
      // Apache Kafka names the leader of a partition before it has its log; until then the offset is -1.
      return (await this.#raw.ends(topic, partitions)).every((end) => end === 0);
    }, `logs of ${topic}`);
  }

  async produce(topic: string, partition: number, records: readonly ClientRecord[]): Promise<void> {
    const bytes = (text: string | null) => (text === null ? null : Buffer.from(text, "base64"));
    const raw = records.map(({ key, value }) => ({ key: bytes(key), value: bytes(value), headers: [] }));
    const batch = recordBatch(0, raw.length, recordBytes(raw));
    const { refused } = await this.#raw.produce(topic, new Map([[partition, batch]]));
    if (refused.size > 0) throw new Error(`${topic} refuses a batch with code ${refused.get(partition)}`);
  }

  /** The offset of the next record of a partition. */
  async end(topic: string, partition: number): Promise<number> {
    return (await this.#raw.ends(topic, partition + 1))[partition] ?? 0;
  }

  /** Whether the partition has so many records, after a while if it must. */
  async untilEnd(topic: string, partition: number, end: number): Promise<boolean> {
    return becomesTrue(async () => (await this.end(topic, partition)) === end);
  }

  /** Whether a group has committed this offset for each partition, after a while if it must. */
  async untilCommitted(group: string, topic: string, partitions: number, offset: number): Promise<boolean> {
    const isCommitted = async () => {
      const [fetched] = await this.#admin.fetchOffsets({ groupId: group, topics: [topic] });
      const found = fetched?.partitions.filter((each) => Number(each.offset) === offset);
      return found?.length === partitions;
    };
    return becomesTrue(isCommitted);
  }

  /**
   * How the records of a partition are stored. Beside compressed batches, others do not count: clients send a batch as it
   * is when compression makes it larger, and it depends on the time how many records a batch has.
   */
  async batches(topic: string, partition: number): Promise<Answer> {
    const batches = await this.#raw.batches(topic, partition);
    const found = new Set(batches.map(({ codec }) => codecs[codec] ?? `codec ${codec}`));
    if (found.size > 1) found.delete("none");
    return {
      codecs: [...found],
      withProducerId: batches.some(({ producerId }) => producerId >= 0n),
      withoutProducerId: batches.some(({ producerId }) => producerId < 0n),
    };
  }

  async close(): Promise<void> {
    this.#raw.close();
    await this.#admin.disconnect();
  }
}

async function becomesTrue(ask: () => Promise<boolean>): Promise<boolean> {
  try {
    return await eventually(ask);
  } catch {
    return false;
  }
}
