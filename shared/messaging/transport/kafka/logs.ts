import type { Admin } from "kafkajs";
import type { Logger } from "../../runtime.ts";
import type { LogBounds, Logs } from "../logs.ts";
import type { IncomingRecord } from "../transport.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { toRecord } from "./consumer.ts";
import { errorOfCode } from "./errors.ts";
import { decodeBatches } from "./fetch.ts";
import { endOfValid, NONE, RawLogs } from "./raw-logs.ts";

/** The topics of a Kafka-protocol cluster. It connects at the first use; after a failure it has to be closed. */
export class KafkaLogs implements Logs {
  readonly #client: KafkaClient;
  readonly #raw: RawLogs;
  #admin: Promise<Admin> | undefined;
  readonly #topics = new Set<string>();

  constructor(settings: KafkaSettings, log: Logger) {
    this.#client = new KafkaClient(settings, log);
    this.#raw = new RawLogs(settings, log);
  }

  async partitions(topic: string): Promise<LogBounds[]> {
    const admin = await this.#connected();
    if (!(await admin.listTopics()).includes(topic)) return [];
    const offsets = await admin.fetchTopicOffsets(topic);
    return offsets
      .map(({ partition, low, high }) => ({ partition, earliest: Number(low), latest: Number(high) }))
      .sort((one, other) => one.partition - other.partition);
  }

  async read(topic: string, partition: number, from: number): Promise<IncomingRecord[]> {
    if (!this.#topics.has(topic)) await this.#raw.connect([topic]);
    this.#topics.add(topic);
    let next = from;
    for (;;) {
      const { code, latest, records } = await this.#raw.fetch(topic, partition, next);
      if (code !== NONE) throw errorOfCode(code);
      const found: IncomingRecord[] = [];
      for (const message of decodeBatches(records, 0)) {
        if (message.undecodable !== undefined) throw new Error(message.undecodable.cause);
        if (Number(message.offset) < next || message.isControlRecord) continue;
        found.push(toRecord(topic, partition, message));
      }
      // Compaction may have removed every record of what was read.
      const end = endOfValid(records, next) ?? next;
      if (found.length > 0 || end >= latest || end === next) return found;
      next = end;
    }
  }

  async committed(group: string, topic: string, partition: number): Promise<number | undefined> {
    const admin = await this.#connected();
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    const offset = Number(found?.partitions.find((one) => one.partition === partition)?.offset ?? -1);
    return offset < 0 ? undefined : offset;
  }

  async close(): Promise<void> {
    const admin = await this.#admin?.catch(() => undefined);
    await Promise.all([this.#client.close(async () => admin?.disconnect()), this.#raw.close()]);
  }

  #connected(): Promise<Admin> {
    this.#admin ??= (async () => {
      const admin = this.#client.kafka.admin();
      await admin.connect();
      return admin;
    })();
    return this.#admin;
  }
}
