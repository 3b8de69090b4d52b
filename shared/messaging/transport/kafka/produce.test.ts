import { expect, test } from "bun:test";
import murmur2 from "kafkajs/src/producer/partitioners/default/murmur2.js";
import Produce from "kafkajs/src/protocol/requests/produce/index.js";
import type { OutgoingRecord } from "../transport.ts";
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

for (const version of [3, 4, 5, 6, 7]) {
  test(`a request of version ${version} is encoded byte for byte as kafkajs encodes it`, async () => {
    for (const [nowMs, count] of [
      [0, 1],
      [1_764_000_000_123, 2],
      [2 ** 44 + 5, records.length],
    ] as const) {
      const messages = records.slice(0, count).map((record) => new ProducedMessage(record));
      const withTime = messages.map(({ key, value, headers }) => ({
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
      expect(Buffer.compare(encoded.buffer, expected.buffer)).toBe(0);
    }
  });
}

test("the hash of a key is that of kafkajs and of Kafka", () => {
  for (const text of [...texts, ...records.keys()].map(String)) {
    expect([text, keyHash(text)]).toEqual([text, murmur2(text) & 0x7fff_ffff]);
  }
  // From Kafka's own tests (UtilsTest.testMurmur2).
  const known = { "21": -973932308, foobar: -790332482, "a-little-bit-long-string": -985981536 };
  for (const [text, hash] of Object.entries(known)) expect(keyHash(text)).toBe(hash & 0x7fff_ffff);
});
