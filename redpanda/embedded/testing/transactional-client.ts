/** A transactional producer and a read_committed consumer, on raw requests. */
import { ErrorCode } from "../errors.ts";
import type { RecordBatch } from "../log/batch.ts";
import { outcomeOf } from "../log/markers.ts";
import { recordsOf } from "../log/records.ts";
import { ApiKey } from "../registry.ts";
import type { Writer } from "../wire/writer.ts";
import { batchesIn, batchOf } from "./batches.ts";
import { RawClient } from "./raw-client.ts";
import { FETCH, fetchBody, fetched, PRODUCE, produceBody, produced } from "./requests.ts";

interface Address {
  readonly port: number;
}

export class TransactionalClient {
  producerId = -1;
  epoch = -1;
  /** The next sequence of each `topic/partition`. */
  readonly #sequences = new Map<string, number>();

  private constructor(
    readonly client: RawClient,
    readonly transactionalId: string,
  ) {}

  /** A producer that is not initialized. */
  static async connect(broker: Address, transactionalId: string): Promise<TransactionalClient> {
    return new TransactionalClient(await RawClient.connect(broker), transactionalId);
  }

  /** An initialized producer. */
  static async start(broker: Address, transactionalId: string): Promise<TransactionalClient> {
    const producer = await TransactionalClient.connect(broker, transactionalId);
    let code = await producer.initialize();
    // As after the transaction of the previous producer was aborted.
    if (code === ErrorCode.CONCURRENT_TRANSACTIONS) code = await producer.initialize();
    if (code !== ErrorCode.NONE) throw new Error(`InitProducerId: ${code}`);
    return producer;
  }

  /** InitProducerId. @param expected asks for the next epoch of this identity */
  async initialize({
    timeoutMs = 60_000,
    expected = { producerId: -1, epoch: -1 },
    version = 5,
  } = {}): Promise<number> {
    const response = await this.client.request(ApiKey.InitProducerId, version, (writer) => {
      writer.nullableString(this.transactionalId).int32(timeoutMs);
      if (version >= 3) writer.int64(expected.producerId).int16(expected.epoch);
    });
    response.int32();
    const code = response.int16();
    if (code !== ErrorCode.NONE) return code;
    this.producerId = response.int64();
    this.epoch = response.int16();
    this.#sequences.clear();
    return code;
  }

  /** AddPartitionsToTxn: the code of each partition of the topic. */
  async addPartitions(topic: string, partitions: readonly number[], version = 3): Promise<number[]> {
    const response = await this.client.request(ApiKey.AddPartitionsToTxn, version, (writer) => {
      this.#identify(writer);
      writer.structs([topic], () =>
        writer.string(topic).array(partitions, (index) => void writer.int32(index)),
      );
    });
    response.int32();
    const [codes] = response.structs(() => {
      response.string();
      return response.structs(() => {
        response.int32();
        return response.int16();
      });
    });
    return codes ?? [];
  }

  /** Adds the partition and produces the values in one batch. @throws Error when either is refused */
  async write(topic: string, partition: number, values: readonly string[]): Promise<void> {
    const codes = await this.addPartitions(topic, [partition]);
    const code = codes[0] || (await this.produce(topic, partition, values)).code;
    if (code !== ErrorCode.NONE) throw new Error(`write: ${code}`);
  }

  /** Produce, in version 7. */
  async produce(topic: string, partition: number, values: readonly string[]) {
    const batch = this.batch(topic, partition, values);
    return this.produceBatch(topic, partition, batch);
  }

  async produceBatch(topic: string, partition: number, batch: RecordBatch, transactionalId?: string | null) {
    const id = transactionalId === undefined ? this.transactionalId : transactionalId;
    const body = produceBody(topic, batch, -1, partition, id);
    return produced(await this.client.request(ApiKey.Produce, PRODUCE, body));
  }

  /** The next batch in sequence. */
  batch(topic: string, partition: number, values: readonly string[], transactional = true): RecordBatch {
    const { producerId, epoch } = this;
    const name = `${topic}/${partition}`;
    const sequence = this.#sequences.get(name) ?? 0;
    this.#sequences.set(name, sequence + values.length);
    const records = values.map((value) => ({ key: value, value, timestamp: Date.now() }));
    return batchOf(records, { producerId, epoch, sequence, transactional });
  }

  async addOffsets(group: string, version = 4): Promise<number> {
    const response = await this.client.request(ApiKey.AddOffsetsToTxn, version, (writer) => {
      this.#identify(writer).string(group);
    });
    response.int32();
    return response.int16();
  }

  /** TxnOffsetCommit of one offset. */
  async commitOffset(
    group: string,
    topic: string,
    offset: number,
    { generation = -1, memberId = "", version = 4, partition = 0 } = {},
  ): Promise<number> {
    const response = await this.client.request(ApiKey.TxnOffsetCommit, version, (writer) => {
      writer.string(this.transactionalId).string(group).int64(this.producerId).int16(this.epoch);
      if (version >= 3) writer.int32(generation).string(memberId).nullableString(null);
      writer.structs([topic], () =>
        writer.string(topic).structs([partition], () => {
          writer.int32(partition).int64(offset);
          if (version >= 2) writer.int32(-1);
          writer.nullableString("");
        }),
      );
    });
    response.int32();
    const [codes] = response.structs(() => {
      response.string();
      return response.structs(() => {
        response.int32();
        return response.int16();
      });
    });
    return codes?.[0] ?? ErrorCode.UNKNOWN_SERVER_ERROR;
  }

  /** EndTxn. */
  async end(outcome: "commit" | "abort", version = 4): Promise<number> {
    this.sendEnd(outcome, version);
    const response = await this.client.response(ApiKey.EndTxn, version);
    response.int32();
    return response.int16();
  }

  sendEnd(outcome: "commit" | "abort", version = 4): void {
    this.client.send(ApiKey.EndTxn, version, (writer) => {
      this.#identify(writer).boolean(outcome === "commit");
    });
  }

  #identify(writer: Writer): Writer {
    return writer.string(this.transactionalId).int64(this.producerId).int16(this.epoch);
  }
}

/** OffsetFetch 7: the committed offset of a partition, or the code of the answer. */
export async function committedOffset(
  client: RawClient,
  group: string,
  topic: string,
  { requireStable = true, partition = 0 } = {},
): Promise<{ offset: number; code: number }> {
  const response = await client.request(ApiKey.OffsetFetch, 7, (writer) => {
    writer.string(group).structs([topic], () => {
      writer.string(topic).array([partition], (index) => void writer.int32(index));
    });
    writer.boolean(requireStable);
  });
  response.int32();
  const [topics] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      const offset = response.int64();
      response.int32();
      response.nullableString();
      return { offset, code: response.int16() };
    });
  });
  return topics?.[0] ?? { offset: -1, code: ErrorCode.UNKNOWN_SERVER_ERROR };
}

/** The values that a consumer with read_committed receives, up to the last stable offset. */
export async function readCommitted(
  client: RawClient,
  topic: string,
  { partition = 0, maxBytes = 2 ** 20 } = {},
): Promise<string[]> {
  const values: string[] = [];
  for (let offset = 0; ; ) {
    const body = fetchBody(topic, { readCommitted: true, partition, offset, partitionMaxBytes: maxBytes });
    const { code, records, aborted } = fetched(await client.request(ApiKey.Fetch, FETCH, body));
    if (code !== ErrorCode.NONE) throw new Error(`Fetch: ${code} at ${offset} of ${partition}`);
    const batches = batchesIn(records);
    if (batches.length === 0) return values;
    // As the Java consumer does, for each response.
    const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
    const skipped = new Set<number>();
    for (const batch of batches) {
      while (waiting[0] && waiting[0].firstOffset <= batch.lastOffset) {
        skipped.add(waiting[0].producerId);
        waiting.shift();
      }
      if (batch.isControl && outcomeOf(batch) === "abort") skipped.delete(batch.producerId);
      const isData = !batch.isControl && !(batch.isTransactional && skipped.has(batch.producerId));
      if (isData) values.push(...(recordsOf(batch) ?? []).map(({ value }) => String(value)));
      offset = batch.lastOffset + 1;
    }
  }
}
