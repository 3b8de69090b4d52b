/// <reference path="./kafkajs-internals.d.ts" />
import type Cluster from "kafkajs/src/cluster/index.js";
import type { RawRequest } from "kafkajs/src/cluster/index.js";
import Encoder from "kafkajs/src/protocol/encoder.js";
import crc32c from "kafkajs/src/protocol/recordBatch/crc32C/index.js";
import type { Logger } from "../../runtime.ts";
import { AT } from "./batch.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { errorOfCode } from "./errors.ts";
import { Input } from "./fetch.ts";
import type { PartitionState, TopicState } from "./inspector.ts";

/** Offsets of a partition that cannot be read. */
export interface UnreadableRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** The last one; undefined when it is not known where the log ends. */
  readonly to: number | undefined;
}

/** https://kafka.apache.org/protocol#protocol_error_codes */
const NONE = 0;
const OFFSET_OUT_OF_RANGE = 1;
const CORRUPT_MESSAGE = 2;

/** No record has it: what a lookup finds is damage, or nothing. */
const AFTER_EVERY_TIMESTAMP = "9223372036854775807";
const EARLIEST = "-2";
const READ_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** Finds records that cannot be read, with requests that every Kafka-protocol broker answers. It changes nothing. */
export class LogVerifier {
  readonly #client: KafkaClient;
  readonly #cluster: Cluster;
  #connected: Promise<void> | undefined;

  constructor(settings: KafkaSettings, log: Logger) {
    this.#client = new KafkaClient(settings, log);
    this.#cluster = this.#client.cluster();
  }

  /**
   * The partitions with damage that their broker knows of, without records being sent: a lookup by time is answered with
   * CORRUPT_MESSAGE then. The embedded broker knows all that there was at its start: it verifies then what it has not
   * verified yet. Others may know of none.
   */
  async knownDamage(topics: readonly TopicState[]): Promise<{ topic: string; partition: number }[]> {
    await this.#connect(topics);
    const lookups = topics.flatMap(({ name, partitions }) =>
      partitions.map(async ({ partition }) => {
        const { code } = await this.#lookUp(name, partition, AFTER_EVERY_TIMESTAMP);
        if (code !== NONE && code !== CORRUPT_MESSAGE) throw errorOfCode(code);
        return code === CORRUPT_MESSAGE ? [{ topic: name, partition }] : [];
      }),
    );
    return (await Promise.all(lookups)).flat();
  }

  /**
   * Reads everything that the partitions have, and verifies the checksum of every batch. Of several damaged places
   * next to each other, what is between them may be part of the range.
   */
  async *unreadable(topics: readonly TopicState[]): AsyncGenerator<UnreadableRange> {
    await this.#connect(topics);
    for (const { name, partitions } of topics) {
      for (const state of partitions) yield* this.#unreadableOf(name, state);
    }
  }

  async close(): Promise<void> {
    await this.#client.close(() => this.#cluster.disconnect());
  }

  #connect(topics: readonly TopicState[]): Promise<void> {
    const connect = async () => {
      await this.#cluster.connect();
      await this.#cluster.addMultipleTargetTopics(topics.map(({ name }) => name));
    };
    this.#connected ??= connect();
    return this.#connected;
  }

  async *#unreadableOf(topic: string, { partition, earliest, latest }: PartitionState) {
    let offset = earliest;
    while (offset < latest) {
      const next = await this.#read(topic, partition, offset);
      if (next !== undefined) {
        offset = next;
        continue;
      }
      const end = await this.#readableFrom(topic, partition, offset, latest);
      yield { topic, partition, from: offset, to: end === undefined ? undefined : end - 1 };
      if (end === undefined) return;
      offset = end;
    }
    // The end of a log may be damaged in a way that hides where it is.
    if ((await this.#read(topic, partition, latest)) === undefined) {
      yield { topic, partition, from: latest, to: undefined };
    }
  }

  /** The first offset after the damage at `offset`, found by halving; undefined when it reaches beyond the end. */
  async #readableFrom(
    topic: string,
    partition: number,
    offset: number,
    latest: number,
  ): Promise<number | undefined> {
    let damaged = offset;
    let step = 1;
    while (damaged + step < latest && (await this.#read(topic, partition, damaged + step)) === undefined) {
      damaged += step;
      step *= 2;
    }
    let readable = Math.min(damaged + step, latest);
    if (readable === latest && (await this.#read(topic, partition, latest)) === undefined) return undefined;
    while (readable - damaged > 1) {
      const middle = Math.floor((damaged + readable) / 2);
      if ((await this.#read(topic, partition, middle)) === undefined) damaged = middle;
      else readable = middle;
    }
    return readable;
  }

  /** The offset after the valid batches at `offset`; undefined when what is there cannot be read. */
  async #read(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const { code, latest, records } = await this.#fetch(topic, partition, offset);
    if (code === CORRUPT_MESSAGE) return undefined;
    if (code === OFFSET_OUT_OF_RANGE) {
      // Retention has removed it since.
      const { code: failure, offset: earliest } = await this.#lookUp(topic, partition, EARLIEST);
      if (failure !== NONE) throw errorOfCode(failure);
      if (earliest > offset) return earliest;
    }
    if (code !== NONE) throw errorOfCode(code);
    if (records.length === 0) return Math.max(offset, latest);
    return endOfValid(records, offset);
  }

  async #fetch(topic: string, partition: number, offset: number) {
    const encode = async () =>
      // The replica -1, which is a client; no wait; any number of bytes; the isolation level "read uncommitted".
      head(
        new Encoder().writeInt32(-1).writeInt32(0).writeInt32(0).writeInt32(READ_BYTES).writeInt8(0),
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

  async #lookUp(topic: string, partition: number, timestamp: string) {
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
function endOfValid(records: Buffer, offset: number): number | undefined {
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
