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

export function produceBody(topic: string, batch: RecordBatch | Buffer, acks = -1, partition = 0) {
  const bytes = Buffer.isBuffer(batch) ? batch : batch.bytes;
  return (writer: Writer) => {
    writer.nullableString(null).int16(acks).int32(1000);
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
}

export function fetchBody(topic: string, spec: FetchSpec = {}) {
  const {
    offset = 0,
    maxWaitMs = 0,
    minBytes = 1,
    maxBytes = 2 ** 30,
    partitionMaxBytes = 2 ** 30,
    sessionEpoch = -1,
  } = spec;
  return (writer: Writer) => {
    writer.int32(-1).int32(maxWaitMs).int32(minBytes).int32(maxBytes).int8(0).int32(0).int32(sessionEpoch);
    writer.structs([topic], (name) => {
      writer.string(name).structs([0], (partition) => {
        writer.int32(partition).int32(-1).int64(offset).int64(-1).int32(partitionMaxBytes);
      });
    });
    writer.array([], () => {}).string("");
  };
}

/** The result of the first partition of a Fetch 11 response. */
export function fetched(response: Reader): { code: number; highWatermark: number; records: Buffer } {
  response.int32();
  const code = response.int16();
  response.int32();
  const [topic] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      const result = { code: response.int16(), highWatermark: response.int64() };
      response.int64();
      response.int64();
      response.array(() => 0);
      response.int32();
      return { ...result, records: response.bytes() };
    });
  });
  return topic?.[0] ?? { code, highWatermark: -1, records: Buffer.alloc(0) };
}
