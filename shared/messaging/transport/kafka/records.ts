import type { KafkaMessage, TopicMessages } from "kafkajs";
import type { IncomingRecord, OutgoingRecord } from "../transport.ts";

/** Brokers take about 1 MiB in one batch of a partition unless told otherwise (`max.message.bytes`). */
const SEND_BYTES = 800 * 1024;
/** What a record takes besides what is in it, at most: lengths, offsets, time (protocol: record batch version 2). */
const RECORD_OVERHEAD_BYTES = 40;

/**
 * Cuts what would be too large for one send, in order. kafkajs puts all records of a partition into one batch, and a
 * batch that is too large is refused for good.
 */
export function* sendable(records: readonly OutgoingRecord[]): Generator<OutgoingRecord[]> {
  let part: OutgoingRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = sizeOf(record);
    if (part.length > 0 && bytes + size > SEND_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + lengthOf(key) + lengthOf(value);
  for (const [name, text] of Object.entries(headers)) bytes += 4 + lengthOf(name) + lengthOf(text);
  return bytes;
}

function lengthOf(value: Uint8Array | string | null): number {
  return value === null ? 0 : Buffer.byteLength(value);
}

export function byTopic(records: readonly OutgoingRecord[]): TopicMessages[] {
  return [...Map.groupBy(records, (record) => record.topic)].map(([topic, group]) => ({
    topic,
    messages: group.map(({ key, value, headers }) => ({
      key,
      value: value instanceof Uint8Array ? Buffer.from(value) : value,
      headers,
    })),
  }));
}

export function toRecord(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    if (value !== undefined) headers[name] = (Array.isArray(value) ? value.join(", ") : value).toString();
  }
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key?.toString() ?? null,
    value: message.value,
    headers,
  };
}
