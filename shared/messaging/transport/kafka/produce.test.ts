import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import murmur2 from "kafkajs/src/producer/partitioners/default/murmur2.js";
import crc32c from "kafkajs/src/protocol/recordBatch/crc32C/index.js";
import Produce from "kafkajs/src/protocol/requests/produce/index.js";
import type { OutgoingRecord } from "../transport.ts";
import { AT } from "./batch.ts";
import "./client.ts";
import { encodeProduceRequest, keyHash, ProducedMessage } from "./produce.ts";

/** Texts of as many bytes as around each length of a variable-length integer, of one to four bytes a character. */
const texts = [0, 1, 2, 3, 4, 5, 62, 63, 64, 65, 127, 128, 8_191, 8_192, 16_384].flatMap((length) => [
  "a".repeat(length),
  "é€😀".repeat(Math.ceil(length / 9)),
  `\ud800${"z".repeat(length)}`,
]);
const textAt = (index: number) => texts[index % texts.length] ?? "";

const records: readonly OutgoingRecord[] = texts.flatMap((text, index) => [
  { topic: "letters", key: text, value: textAt(index * 7), headers: {} },
  { topic: "letters", key: null, value: Buffer.from(text), headers: { [textAt(index + 1)]: text, b: "" } },
  {
    topic: "letters",
    key: "",
    value: null,
    headers: { "content-type": "application/json", a: textAt(index * 3) },
  },
]);

/** What kafkajs passes on for a producer that is neither idempotent nor transactional. */
const options = { acks: -1, timeout: 15_000, compression: 0, producerId: -1, producerEpoch: 0 };

/** A request with its batches as they are without compression, and how many were compressed. */
function uncompressed(request: Buffer): { readonly bytes: Buffer; readonly compressed: number } {
  const parts: Buffer[] = [];
  let at = 0;
  let compressed = 0;
  const take = (length: number) => {
    const part = request.subarray(at, at + length);
    parts.push(part);
    at += length;
    return part;
  };
  // No transactional id, acks, timeout.
  take(8);
  for (let topics = take(4).readInt32BE(); topics > 0; topics--) {
    take(take(2).readInt16BE());
    for (let partitions = take(4).readInt32BE(); partitions > 0; partitions--) {
      take(4);
      const batch = request.subarray(at + 4, at + 4 + request.readInt32BE(at));
      at += 4 + batch.length;
      const isCompressed = batch.readInt16BE(AT.attributes) === 1;
      compressed += Number(isCompressed);
      const records = batch.subarray(AT.records);
      const plain = Buffer.concat([
        batch.subarray(0, AT.records),
        isCompressed ? gunzipSync(records) : records,
      ]);
      expect(batch.readUInt32BE(AT.checksum)).toBe(crc32c(batch.subarray(AT.checksumEnd)));
      plain.writeInt32BE(plain.length - AT.lengthEnd, AT.length);
      plain.writeInt16BE(0, AT.attributes);
      plain.writeUInt32BE(crc32c(plain.subarray(AT.checksumEnd)), AT.checksum);
      const length = Buffer.alloc(4);
      length.writeInt32BE(plain.length);
      parts.push(length, plain);
    }
  }
  return { bytes: Buffer.concat([...parts, request.subarray(at)]), compressed };
}

for (const version of [3, 4, 5, 6, 7]) {
  test(`a request of version ${version} is encoded byte for byte as kafkajs encodes it, but for the compression`, async () => {
    for (const [nowMs, count, compressed] of [
      // The first records are so small that compression makes them larger.
      [0, 1, 0],
      [1_764_000_000_123, 2, 0],
      [2 ** 44 + 5, records.length, 2],
    ] as const) {
      const messages = records.slice(0, count).map((record) => new ProducedMessage(record));
      const withTime = records.slice(0, count).map(({ key, value, headers }) => ({
        ...{ key, value, headers, timestamp: String(nowMs) },
      }));
      const topicData = <Message>(all: readonly Message[]) => [
        {
          topic: "letters",
          partitions: [0, 3].map((partition) => ({ partition, firstSequence: 0, messages: all })),
        },
        { topic: "answers", partitions: [] },
        {
          topic: "été",
          partitions: [{ partition: 2 ** 31 - 1, firstSequence: 0, messages: all.slice(0, 1) }],
        },
      ];
      const { request } = Produce.protocol({ version })({ ...options, topicData: topicData(withTime) });
      const expected = await request.encode();
      const encoded = encodeProduceRequest({ ...options, topicData: topicData(messages) }, nowMs);
      const plain = uncompressed(encoded.buffer);
      expect(Buffer.compare(plain.bytes, expected.buffer)).toBe(0);
      expect(plain.compressed).toBe(compressed);
      if (compressed > 0) expect(encoded.buffer.length).toBeLessThan(expected.buffer.length / 10);
    }
  });
}

test("a request is not changed by the next one", () => {
  const request = (text: string) => {
    const message = new ProducedMessage({ topic: "letters", key: null, value: text, headers: {} });
    const topicData = [{ topic: "letters", partitions: [{ partition: 0, messages: [message] }] }];
    return encodeProduceRequest({ acks: -1, timeout: 1, topicData }, 0).buffer;
  };
  const first = request("first");
  expect(request("other")).not.toEqual(first);
  expect(first).toEqual(request("first"));
});

test("a broker without record batches is refused: it would lose the headers", async () => {
  const messages = records.map((record) => new ProducedMessage(record));
  const topicData = [{ topic: "letters", partitions: [{ partition: 0, firstSequence: 0, messages }] }];
  const { request } = Produce.protocol({ version: 2 })({ ...options, topicData });
  await expect(request.encode()).rejects.toThrow("older than Kafka 0.11");
});

test("the hash of a key is that of kafkajs and of Kafka", () => {
  for (const text of [...texts, ...records.keys()].map(String)) {
    expect([text, keyHash(text)]).toEqual([text, murmur2(text) & 0x7fff_ffff]);
  }
  // From Kafka's own tests (UtilsTest.testMurmur2).
  const known = { "21": -973932308, foobar: -790332482, "a-little-bit-long-string": -985981536 };
  for (const [text, hash] of Object.entries(known)) expect(keyHash(text)).toBe(hash & 0x7fff_ffff);
});
