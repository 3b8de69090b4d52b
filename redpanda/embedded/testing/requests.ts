/** Request bodies for `RawClient`, each in the version that its comment names. */

import { ErrorCode } from "../errors.ts";
import type { RecordBatch } from "../log/batch.ts";
import { ApiKey } from "../registry.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import type { RawClient } from "./raw-client.ts";

/** CreateTopics 2. @throws Error when the topic was not created. */
export async function createTopic(
  client: RawClient,
  name: string,
  { partitions = 1, configs = {} as Record<string, string> } = {},
): Promise<void> {
  const response = await client.request(ApiKey.CreateTopics, 2, (writer) => {
    writer.structs([name], () => {
      writer
        .string(name)
        .int32(partitions)
        .int16(1)
        .array([], () => {});
      writer.structs(Object.entries(configs), ([key, value]) => writer.string(key).nullableString(value));
    });
    writer.int32(1000).boolean(false);
  });
  response.int32();
  const [result] = response.structs(() => ({
    name: response.string(),
    code: response.int16(),
    text: response.nullableString(),
  }));
  if (result?.code !== ErrorCode.NONE) {
    throw new Error(`${name} was not created: ${result?.code} ${result?.text}`);
  }
}

/** Produce 7. */
export const PRODUCE = 7;

export function produceBody(
  topic: string,
  batch: RecordBatch | Buffer,
  acks = -1,
  partition = 0,
  transactionalId: string | null = null,
) {
  const bytes = Buffer.isBuffer(batch) ? batch : batch.bytes;
  return (writer: Writer) => {
    writer.nullableString(transactionalId).int16(acks).int32(1000);
    writer.structs([topic], (name) => {
      writer.string(name).structs([bytes], (records) => writer.int32(partition).bytes(records));
    });
  };
}

/** The result of the first partition of a Produce 7 response. */
export function produced(response: Reader): { code: number; baseOffset: number } {
  const [topic] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      const result = { code: response.int16(), baseOffset: response.int64() };
      response.int64();
      response.int64();
      return result;
    });
  });
  const [partition] = topic ?? [];
  if (!partition) throw new Error("no partition in the response");
  return partition;
}

/** Fetch 11. */
export const FETCH = 11;

interface FetchSpec {
  readonly offset?: number;
  readonly maxWaitMs?: number;
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly partitionMaxBytes?: number;
  readonly sessionEpoch?: number;
  readonly readCommitted?: boolean;
  readonly partition?: number;
}

export function fetchBody(topic: string, spec: FetchSpec = {}) {
  const {
    offset = 0,
    maxWaitMs = 0,
    minBytes = 1,
    maxBytes = 2 ** 30,
    partitionMaxBytes = 2 ** 30,
    sessionEpoch = -1,
    readCommitted = false,
    partition = 0,
  } = spec;
  return (writer: Writer) => {
    writer
      .int32(-1)
      .int32(maxWaitMs)
      .int32(minBytes)
      .int32(maxBytes)
      .int8(readCommitted ? 1 : 0);
    writer.int32(0).int32(sessionEpoch);
    writer.structs([topic], (name) => {
      writer.string(name).structs([partition], (index) => {
        writer.int32(index).int32(-1).int64(offset).int64(-1).int32(partitionMaxBytes);
      });
    });
    writer.array([], () => {}).string("");
  };
}

interface Fetched {
  readonly code: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[];
  readonly records: Buffer;
}

/** The result of the first partition of a Fetch 11 response. */
export function fetched(response: Reader): Fetched {
  response.int32();
  const code = response.int16();
  response.int32();
  const [topic] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      const partitionCode = response.int16();
      const offsets = { highWatermark: response.int64(), lastStableOffset: response.int64() };
      response.int64();
      const aborted = response.structs(() => ({
        producerId: response.int64(),
        firstOffset: response.int64(),
      }));
      response.int32();
      return { code: partitionCode, ...offsets, aborted, records: response.bytes() };
    });
  });
  const nothing = { highWatermark: -1, lastStableOffset: -1, aborted: [], records: Buffer.alloc(0) };
  return topic?.[0] ?? { code, ...nothing };
}
