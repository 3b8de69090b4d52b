/// <reference path="./kafkajs-internals.d.ts" />
import type { Kafka } from "kafkajs";
import type Cluster from "kafkajs/src/cluster/index.js";
import type { RawRequest } from "kafkajs/src/cluster/index.js";
import Encoder from "kafkajs/src/protocol/encoder.js";
import crc32c from "kafkajs/src/protocol/recordBatch/crc32C/index.js";
import type { Logger } from "../../runtime.ts";
import { AT } from "./batch.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { Input } from "./fetch.ts";

/** https://kafka.apache.org/protocol#protocol_error_codes */
export const NONE = 0;
export const OFFSET_OUT_OF_RANGE = 1;
/** The time that stands for the beginning of a log (ListOffsets). */
export const EARLIEST = "-2";

const READ_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** The bytes of a partition, as a broker answers a fetch. */
export interface RawFetch {
  readonly code: number;
  /** One past the last offset that can be read. */
  readonly latest: number;
  /** Record batches, the last of which may be incomplete. */
  readonly records: Buffer;
}

/**
 * Reads partitions with requests that every Kafka-protocol broker answers, as a member of no group, which kafkajs cannot.
 * After any failure it has to be closed or destroyed.
 */
export class RawLogs {
  readonly #client: KafkaClient;
  readonly #cluster: Cluster;

  constructor(settings: KafkaSettings, log: Logger) {
    this.#client = new KafkaClient(settings, log);
    this.#cluster = this.#client.cluster();
  }

  /** @throws when no broker answers, or a topic does not exist */
  async connect(topics: readonly string[]): Promise<void> {
    await this.#cluster.connect();
    await this.#cluster.addMultipleTargetTopics(topics);
  }

  async close(): Promise<void> {
    await this.#client.close(() => this.#cluster.disconnect());
  }

  /** To create topics with. */
  get kafka(): Kafka {
    return this.#client.kafka;
  }

  /** What is asked at the moment fails. */
  destroy(): void {
    this.#client.destroy();
  }

  /** @param waitMs how long the broker waits for records where there are none */
  fetch(topic: string, partition: number, offset: number, waitMs = 0): Promise<RawFetch> {
    const encode = async () =>
      // The replica -1, which is a client; one byte is enough; the isolation level "read uncommitted".
      head(
        new Encoder()
          .writeInt32(-1)
          .writeInt32(waitMs)
          .writeInt32(waitMs > 0 ? 1 : 0)
          .writeInt32(READ_BYTES)
          .writeInt8(0),
        topic,
      )
        .writeInt32(partition)
        .writeInt64(offset)
        .writeInt32(READ_BYTES);
    const decode = async (body: Buffer) => {
      const input = new Input(body);
      input.int32();
      const [found] = firstTopic(input, () => {
        input.int32();
        const code = input.int16();
        const latest = input.int64();
        input.int64();
        input.array(() => [input.int64(), input.int64()]);
        return { code, latest, records: input.bytes(Math.max(0, input.int32())) };
      });
      return answered(found);
    };
    const request = { apiKey: 1, apiVersion: 4, apiName: "Fetch", encode };
    return this.#send(topic, partition, { request, response: { decode, parse } });
  }

  /** The first offset at or after a time. @param timestamp milliseconds since the epoch, or EARLIEST */
  lookUp(
    topic: string,
    partition: number,
    timestamp: string,
  ): Promise<{ readonly code: number; readonly offset: number }> {
    const encode = async () =>
      head(new Encoder().writeInt32(-1), topic).writeInt32(partition).writeInt64(timestamp);
    const decode = async (body: Buffer) => {
      const input = new Input(body);
      const [found] = firstTopic(input, () => {
        input.int32();
        const code = input.int16();
        input.int64();
        return { code, offset: input.int64() };
      });
      return answered(found);
    };
    const request = { apiKey: 2, apiVersion: 1, apiName: "ListOffsets", encode };
    return this.#send(topic, partition, { request, response: { decode, parse } });
  }

  async #send<T>(
    topic: string,
    partition: number,
    exchange: Omit<RawRequest<T>, "requestTimeout">,
  ): Promise<T> {
    const [leader] = Object.keys(this.#cluster.findLeaderForPartitions(topic, [partition]));
    if (leader === undefined) throw new Error(`${topic}/${partition} is unknown`);
    const broker = await this.#cluster.findBroker({ nodeId: leader });
    return broker.connectionPool.send({ ...exchange, requestTimeout: REQUEST_TIMEOUT_MS });
  }
}

const parse = async <T>(decoded: T): Promise<T> => decoded;

/** Begins the part of a request that is about one partition. */
function head(encoder: Encoder, topic: string): Encoder {
  return encoder.writeInt32(1).writeString(topic).writeInt32(1);
}

function firstTopic<Item>(input: Input, read: () => Item): Item[] {
  const topics = input.array(() => {
    input.text();
    return input.array(read);
  });
  return topics[0] ?? [];
}

function answered<Item>(found: Item | undefined): Item {
  if (found === undefined) throw new Error("the response has no partition");
  return found;
}

/** The offset after the valid batches at the beginning; undefined when the first one is not valid. */
export function endOfValid(records: Buffer, offset: number): number | undefined {
  let end: number | undefined;
  for (let at = 0; at + AT.records <= records.length; ) {
    const next = at + AT.lengthEnd + records.readInt32BE(at + AT.length);
    // The last batch of a response may be incomplete. The first one never is.
    if (next > records.length || next < at + AT.records) break;
    const batch = records.subarray(at, next);
    const last = Number(batch.readBigInt64BE(0)) + batch.readInt32BE(AT.lastOffsetDelta);
    const isValid = crc32c(batch.subarray(AT.checksumEnd)) === batch.readUInt32BE(AT.checksum);
    if (!isValid || last < (end ?? offset)) break;
    end = last + 1;
    at = next;
  }
  return end;
}
