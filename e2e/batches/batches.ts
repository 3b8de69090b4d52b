import { expect } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import {
  codecNumber,
  codecs,
  compress,
  RawProducer,
  recordBatch,
  recordBytes,
  resealed,
  varint,
} from "../fuzz/raw-producer.ts";

/*
 * What a broker answers to batches that are damaged or strange. The codes are those of Apache Kafka 4.1; `apache-kafka.ts`
 * compares them with a real one, and `batches.test.ts` with the embedded broker.
 */

const NONE = 0;
const UNKNOWN_SERVER_ERROR = -1;
const CORRUPT_MESSAGE = 2;
const MESSAGE_TOO_LARGE = 10;
const INVALID_TIMESTAMP = 32;
const INVALID_RECORD = 87;

/** Byte positions in a batch: https://kafka.apache.org/documentation/#recordbatch */
const AT = {
  baseOffset: 0,
  length: 8,
  magic: 16,
  checksum: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  count: 57,
} as const;

const HOUR_MS = 3_600_000;
const MAX_MESSAGE_BYTES = 100_000;

const record = (text: string) => ({ key: Buffer.from("k"), value: Buffer.from(text), headers: [] });
const two = [record("a"), record("b")];
const plain = recordBytes(two);
const valid = recordBatch(0, 2, plain);
const garbage = Buffer.from("this is no record, in no codec at all");

const setInt = (at: number, value: number) => (bytes: Buffer) => void bytes.writeInt32BE(value, at);
const setLong = (at: number, value: bigint) => (bytes: Buffer) => void bytes.writeBigInt64BE(value, at);
const setAttributes = (value: number) => (bytes: Buffer) => void bytes.writeInt16BE(value, AT.attributes);
const setTimes = (base: bigint, max: bigint) => (bytes: Buffer) => {
  setLong(AT.baseTimestamp, base)(bytes);
  setLong(AT.maxTimestamp, max)(bytes);
};
const withCount = (count: number) => (bytes: Buffer) => {
  setInt(AT.count, count)(bytes);
  setInt(AT.lastOffsetDelta, count - 1)(bytes);
};
/** Without a checksum of its own. */
const changed = (change: (bytes: Buffer) => void) => {
  const bytes = Buffer.from(valid);
  change(bytes);
  return bytes;
};
/** A record with this body. */
const bodied = (...parts: Buffer[]) => {
  const body = Buffer.concat([Buffer.from([0]), ...parts]);
  return recordBatch(0, 1, Buffer.concat([varint(body.length), body]));
};
/** A frame of LZ4 with one plain block of up to 4 MB, which may refer to those before it. */
const dependent = (bytes: Buffer) => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes.length + 0x8000_0000);
  return Buffer.concat([Buffer.from("04224d184070df", "hex"), size, bytes, Buffer.alloc(4)]);
};
const hoursAhead = (hours: number) => BigInt(Date.now() + hours * HOUR_MS);

/** @property embedded the answer of the embedded broker, where it is another one */
type Row = readonly [what: string, batch: Buffer, kafka: number, embedded?: number];

function rows(): Row[] {
  return [
    ...codecs.map(
      (codec): Row => [
        `a valid batch, ${codec}`,
        recordBatch(codecNumber(codec), 2, compress(codec, plain)),
        NONE,
      ],
    ),
    ["a count of 5, with 2 records", resealed(valid, withCount(5)), INVALID_RECORD],
    ["a count of 1, with 2 records", resealed(valid, withCount(1)), INVALID_RECORD],
    ["a count of 2^31-1", resealed(valid, withCount(2 ** 31 - 1)), INVALID_RECORD],
    ["a count of 0", resealed(valid, withCount(0)), INVALID_RECORD],
    ["a negative count", resealed(valid, setInt(AT.count, -1)), INVALID_RECORD],
    ["a last offset that is not count - 1", resealed(valid, setInt(AT.lastOffsetDelta, 5)), INVALID_RECORD],
    ["a base offset that is not 0", changed(setLong(AT.baseOffset, 5n)), INVALID_RECORD],
    ["a count of 5 with 2 records, gzip", recordBatch(1, 5, compress("gzip", plain)), INVALID_RECORD],
    ["a count of 1 with 2 records, lz4", recordBatch(3, 1, compress("lz4", plain)), INVALID_RECORD],
    ["garbage", recordBatch(0, 1, garbage), INVALID_RECORD],
    ["no payload", recordBatch(0, 1, Buffer.alloc(0)), INVALID_RECORD],
    ["zeros", recordBatch(0, 1, Buffer.alloc(20)), INVALID_RECORD],
    ["a gzip that is none", recordBatch(1, 1, garbage), UNKNOWN_SERVER_ERROR],
    ["a snappy that is none", recordBatch(2, 1, garbage), UNKNOWN_SERVER_ERROR],
    ["an lz4 that is none", recordBatch(3, 1, garbage), UNKNOWN_SERVER_ERROR],
    ["an lz4 of blocks that depend on each other", recordBatch(3, 2, dependent(plain)), UNKNOWN_SERVER_ERROR],
    ["a zstd that is none", recordBatch(4, 1, garbage), UNKNOWN_SERVER_ERROR],
    ["an incomplete gzip", recordBatch(1, 2, compress("gzip", plain).subarray(0, -12)), UNKNOWN_SERVER_ERROR],
    [
      "an incomplete snappy",
      recordBatch(2, 2, compress("snappy", plain).subarray(0, -4)),
      UNKNOWN_SERVER_ERROR,
    ],
    ["garbage in gzip", recordBatch(1, 1, compress("gzip", garbage)), INVALID_RECORD],
    ["codec 5", resealed(valid, setAttributes(5)), UNKNOWN_SERVER_ERROR],
    ["codec 7", resealed(valid, setAttributes(7)), UNKNOWN_SERVER_ERROR],
    ["bytes after the records", recordBatch(0, 2, Buffer.concat([plain, Buffer.alloc(3)])), INVALID_RECORD],
    ["a record that is cut", recordBatch(0, 2, plain.subarray(0, -2)), INVALID_RECORD],
    ["offsets 0, 0", recordBatch(0, 2, recordBytes(two, [0, 0])), NONE, INVALID_RECORD],
    ["offsets 1, 2", recordBatch(0, 2, recordBytes(two, [1, 2])), NONE, INVALID_RECORD],
    ["offsets 1, 0, lz4", recordBatch(3, 2, compress("lz4", recordBytes(two, [1, 0]))), UNKNOWN_SERVER_ERROR],
    ["a key longer than its record", bodied(varint(0), varint(0), varint(99)), INVALID_RECORD],
    ["a value longer than its record", bodied(varint(0), varint(0), varint(-1), varint(99)), INVALID_RECORD],
    [
      "a negative number of headers",
      bodied(varint(0), varint(0), varint(-1), varint(-1), varint(-1)),
      INVALID_RECORD,
    ],
    [
      "more headers than there are",
      bodied(varint(0), varint(0), varint(-1), varint(-1), varint(3)),
      INVALID_RECORD,
    ],
    [
      "a header without a key",
      bodied(varint(0), varint(0), varint(-1), varint(-1), varint(1), varint(-1), varint(-1)),
      INVALID_RECORD,
    ],
    [
      "a header longer than its record",
      bodied(varint(0), varint(0), varint(-1), varint(-1), varint(1), varint(50)),
      INVALID_RECORD,
    ],
    [
      "a record with more bytes than fields",
      bodied(varint(0), varint(0), varint(-1), varint(-1), varint(0), Buffer.alloc(4)),
      INVALID_RECORD,
    ],
    ["a varint of six bytes", recordBatch(0, 1, Buffer.alloc(12, 0xff)), UNKNOWN_SERVER_ERROR],
    ["a timestamp of 2^62", resealed(valid, setTimes(2n ** 62n, 2n ** 62n)), INVALID_TIMESTAMP],
    ["a timestamp in two hours", resealed(valid, setTimes(hoursAhead(2), hoursAhead(2))), INVALID_TIMESTAMP],
    ["a timestamp in half an hour", resealed(valid, setTimes(hoursAhead(0.5), hoursAhead(0.5))), NONE],
    ["a timestamp of 1970", resealed(valid, setTimes(0n, 0n)), NONE],
    ["no timestamp", resealed(valid, setTimes(-1n, -1n)), NONE],
    ["a largest timestamp that no record has", resealed(valid, setLong(AT.maxTimestamp, 2n ** 62n)), NONE],
    ["LogAppendTime", resealed(valid, setAttributes(8)), NONE],
    ["a control batch", resealed(valid, setAttributes(0x20)), INVALID_RECORD],
    ["a wrong checksum", changed((bytes) => bytes.writeUInt8(bytes.readUInt8(70) ^ 1, 70)), CORRUPT_MESSAGE],
    ["format v1", changed((bytes) => bytes.writeInt8(1, AT.magic)), INVALID_RECORD],
    ["format v3", changed((bytes) => bytes.writeInt8(3, AT.magic)), CORRUPT_MESSAGE],
    ["nothing", Buffer.alloc(0), INVALID_RECORD],
    ["a batch that is cut", valid.subarray(0, -1), INVALID_RECORD],
    ["a negative length", changed(setInt(AT.length, -5)), CORRUPT_MESSAGE],
    ["a length beyond the end", changed(setInt(AT.length, 5_000)), INVALID_RECORD],
    ["two batches", Buffer.concat([valid, valid]), INVALID_RECORD],
    ["a batch and three bytes", Buffer.concat([valid, Buffer.alloc(3)]), NONE],
    ["a producer id without a sequence", resealed(valid, setLong(AT.producerId, 7n)), INVALID_RECORD],
    [
      "a batch of 200,000 bytes",
      recordBatch(0, 1, recordBytes([record("x".repeat(200_000))])),
      MESSAGE_TOO_LARGE,
    ],
  ];
}

const TOPIC = "batches";

/** Sends each batch of the table to a topic of the broker on this port, and compares its answers. */
export async function compareAnswers(port: number, broker: "Apache Kafka" | "embedded"): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin();
  const configEntries = [{ name: "max.message.bytes", value: String(MAX_MESSAGE_BYTES) }];
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 1, configEntries }] });
  await admin.disconnect();
  const producer = await RawProducer.connect(port);
  const table = rows();
  const answers: string[] = [];
  for (const [what, batch] of table) {
    const { refused } = await producer.produce(TOPIC, new Map([[0, batch]]));
    answers.push(`${what}: ${refused.get(0) ?? NONE}`);
  }
  producer.close();
  const expected = (kafka: number, embedded = kafka) => (broker === "embedded" ? embedded : kafka);
  expect(answers).toEqual(table.map(([what, , ...codes]) => `${what}: ${expected(...codes)}`));
}
