import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { eventually } from "../testing/eventually.ts";
import { topicPartition } from "../transport/transport.ts";
import { type BrokerUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { after, Fixture, numbered, record } from "./fixture.ts";
import { rawBatch, rawRecord } from "./raw.ts";

const RECORDS = Array.from({ length: 20 }, (_, index) => ({
  key: `key ${index % 3}`,
  value: `value ${index} ${"abc".repeat(20)}`,
}));
const plain = Buffer.concat(
  RECORDS.map(({ key, value }, index) => rawRecord(index, Buffer.from(key), Buffer.from(value))),
);
/** `plain`, compressed by the command lz4 in independent blocks. */
const LZ4 =
  "BCJNGGRApycBAAD/CaABAAAACmtleSAwiAF2YWx1ZSAwIGFiYwMAJhAAUgARAlIAFDFSAB8xUgAvEQRSABQyUgAfMlIALxEGUgAF9gAfM1IALxEIUgAF9gAfNFIALxEKUgAF9gAfNVIALxEMUgAF9gAfNlIALxEOUgAF9gAfN1IALxEQUgAF9gAfOFIALxESUgAF9gAfOVIAK1GiAQAAFFIAIzGKNAMfMTUDLABTABEWUwAVMlMADzYDLABTABEYUwAVMFMADzcDLABTABEaUwAG+QAPOAMsAFMAERxTAAb5AA85AywAUwARHlMABvkADzoDLABTABEgUwAG+QAPOwMsAFMAESJTAAb5AA88AywAUwARJFMABvkADz0DLABTABEmUwAG+QAPPgMnUGNhYmMAAAAAAE93Viw=";
/** The first 700 bytes of `plain`, and the rest, compressed by snappyjs. */
const SNAPPY = [
  "vAVcoAEAAAAKa2V5IDCIAXZhbHVlIDAgYWJj4gMAAAABUgACBVIAMRFSADHuUgAJUgAEBVIAMhFSADLuUgAJUgAGBVIV9gAz7lIACVIACAVSFfYANO5SAAlSAAoFUhX2ADXuUgAJUgAMBVIV9gA27lIACVIADgVSFfYAN+5SAAlSABAFUhX2ADheUgA=",
  "tgcIY2FihgMAVACgAQAAEgprZXkgMIgBdmFsdWUgOSCOOgBeJAAUAKIBAAAUBVIEMYoNUgQxMO5TAAlTABYFUwAyFVMAMe5TAAlTABgFUwAwFVMAMu5TAAlTABoFUxn5ADPuUwAJUwAcBVMZ+QA07lMACVMAHgVTGfkANe5TAAlTACAFUxn5ADbuUwAJUwAiBVMZ+QA37lMACVMAJAVTGfkAOO5TAAlTACYFUxn5+j4D",
];

/** Blocks in the framing of snappy-java. */
function xerial(blocks: readonly string[]): Buffer {
  const parts = blocks.flatMap((block) => {
    const bytes = Buffer.from(block, "base64");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([Buffer.from("82534e41505059000000000100000001", "hex"), ...parts]);
}

const codecs = [
  ["no compression", 0, plain],
  ["gzip", 1, gzipSync(plain)],
  ["snappy with the framing of snappy-java", 2, xerial(SNAPPY)],
  ["lz4", 3, Buffer.from(LZ4, "base64")],
  ["zstd", 4, zstdCompressSync(plain)],
] as const;

/**
 * The promises about records of other clients than the kit's.
 *
 * @param storesBytes whether batches can be stored as their bytes
 */
export function foreign(broker: () => BrokerUnderTest, storesBytes: boolean): void {
  describe("records of other clients", () => {
    if (storesBytes) {
      test.concurrent.each(codecs)(
        "%s is read",
        async (_, codec, records) => {
          await using fixture = new Fixture(broker());
          const topic = fixture.topic(1);
          const client = fixture.connect(topic);
          await client.publish([record(topic, "key", "first")]);
          await required(broker().store)(topic, 0, rawBatch(RECORDS.length, records, codec));
          const reader = fixture.read(client, { topics: [topic] });
          await eventually(() => reader.records.length > RECORDS.length, "all are read");
          expect(reader.values).toEqual(["first", ...RECORDS.map(({ value }) => value)]);
          expect(reader.records.slice(1).map(({ key }) => key)).toEqual(RECORDS.map(({ key }) => key));
        },
        TEST_TIMEOUT_MS,
      );

      test.concurrent(
        "of a transaction, the records are read if it was committed, and control records never",
        async () => {
          const { storeInTransaction } = broker();
          if (storeInTransaction === undefined) return;
          await using fixture = new Fixture(broker());
          const topic = fixture.topic(1);
          const client = fixture.connect(topic);
          await client.publish([record(topic, "key", "first")]);
          await storeInTransaction(topic, "committed", { commit: true });
          await storeInTransaction(topic, "aborted", { commit: false });
          const reader = fixture.read(client, { topics: [topic] });
          await reader.hasAll(["first", "committed"]);
          await eventually(
            () => reader.caughtUp.size === 1,
            "it is told of the end, behind the aborted record",
          );
          await client.publish([record(topic, "key", "last")]);
          await reader.hasAll(["last"]);
          expect(reader.values).toEqual(["first", "committed", "last"]);
          expect(reader.records.map(({ offset }) => offset)).toEqual([0, 1, 5]);
        },
        TEST_TIMEOUT_MS,
      );

      test.concurrent.each(["gzip", "snappy", "lz4", "zstd"])(
        "a topic whose broker compresses with %s is read",
        async (codec) => {
          if (broker().compresses !== true) return;
          await using fixture = new Fixture(broker());
          const topic = { ...fixture.topic(1), config: { "compression.type": codec } };
          const client = fixture.connect(topic);
          const values = numbered(`${"some text ".repeat(20)}, `, 200);
          await client.publish(values.map((value) => record(topic, "key", value)));
          const reader = fixture.read(client, { topics: [topic] });
          await reader.hasAll(values);
          expect(reader.values).toEqual(values);
        },
        TEST_TIMEOUT_MS,
      );

      test.concurrent(
        "keys and headers that are not UTF-8, headers without a value and repeated ones are kept exactly",
        async () => {
          await using fixture = new Fixture(broker());
          const topic = fixture.topic(1);
          const client = fixture.connect(topic);
          await client.publish([record(topic, "key", "text", { name: "text" })]);
          const key = Buffer.from([0xff, 0xfe]);
          const name = Buffer.from("name");
          const header = [name, Buffer.from([0x80])] as const;
          const odd = [
            rawRecord(0, key, Buffer.from("key")),
            rawRecord(1, Buffer.from("k"), Buffer.from("header"), [header]),
            rawRecord(2, null, Buffer.from("none"), [[name, null]]),
            rawRecord(3, null, null, [
              [name, Buffer.from("a")],
              [name, Buffer.from("b")],
            ]),
          ];
          await required(broker().store)(topic, 0, rawBatch(odd.length, Buffer.concat(odd)));
          const reader = fixture.read(client, { topics: [topic] });
          await eventually(() => reader.records.length === 5, "all are read");
          const [text, ...others] = reader.records;
          expect(text).toMatchObject({ key: "key", headers: { name: "text" } });
          expect(text?.exact).toBeUndefined();
          const bytes = (content: Uint8Array | null) => (content === null ? null : [...content]);
          expect(
            others.map(({ exact }) => ({
              key: bytes(exact?.key ?? null),
              headers: exact?.headers.map(([title, content]) => [String(title), bytes(content)]),
            })),
          ).toEqual([
            { key: [0xff, 0xfe], headers: [] },
            { key: [...Buffer.from("k")], headers: [["name", [0x80]]] },
            { key: null, headers: [["name", null]] },
            {
              key: null,
              headers: [
                ["name", [...Buffer.from("a")]],
                ["name", [...Buffer.from("b")]],
              ],
            },
          ]);
          expect(others.map((read) => read.key)).toEqual(["base64://4=", "k", null, null]);
        },
        TEST_TIMEOUT_MS,
      );
    }

    test.concurrent(
      "a batch that cannot be decoded is delivered as such, after what is before it; other partitions go on",
      async () => {
        const { storeUndecodable } = broker();
        if (storeUndecodable === undefined) return;
        await using fixture = new Fixture(broker());
        const topic = fixture.topic(2);
        const client = fixture.connect(topic);
        const values = numbered("", 20);
        await client.publish(values.map((value) => record(topic, value, value)));
        await storeUndecodable(topic, 0, 3);
        let isSkipped = false;
        const reader = fixture.read(client, {
          topics: [topic],
          handle: async ({ undecodable }) => {
            if (undecodable === undefined) return undefined;
            return isSkipped
              ? { next: undecodable.lastOffset + 1 }
              : { next: undecodable.offset, pauseMs: 20 };
          },
        });
        await reader.hasAll(values);
        await eventually(
          () => reader.positions.get(topicPartition(topic.name, 0)) !== undefined,
          "a position",
        );
        const stopped = await eventually(
          () => reader.batches.find(({ undecodable }) => undecodable !== undefined)?.undecodable,
          "it is delivered",
        );
        const inPartition = reader.valuesOf({ partition: 0 }).length;
        expect(stopped).toMatchObject({ offset: inPartition, lastOffset: inPartition + 2 });
        expect(stopped.bytes.length).toBeGreaterThan(0);
        const later = numbered("later ", 20);
        await client.publish(later.map((value) => record(topic, value, value)));
        await eventually(
          () => reader.valuesOf({ partition: 1 }).some((value) => value.startsWith("later")),
          "the other partition",
        );
        expect(reader.valuesOf({ partition: 0 }).some((value) => value.startsWith("later"))).toBe(false);
        isSkipped = true;
        await reader.hasAll(later);
        expect(reader.redelivered).toEqual([]);
        expect(reader.subscription.healthy()).toBe(true);
      },
      TEST_TIMEOUT_MS,
    );

    test.concurrent(
      "every batch says where its log begins and ends",
      async () => {
        await using fixture = new Fixture(broker());
        const topic = fixture.topic(1);
        const client = fixture.connect(topic);
        await client.publish(numbered("", 10).map((value) => record(topic, "key", value)));
        const { administration } = broker();
        await administration?.deleteRecords(topic, 0, 6);
        const reader = fixture.read(client, { topics: [topic] });
        await reader.hasAll(["9"]);
        const start = administration === undefined ? 0 : 6;
        for (const batch of reader.batches) expect(batch).toMatchObject({ start, end: 10 });
        expect(reader.batches.map(after).at(-1)).toBe(10);
      },
      TEST_TIMEOUT_MS,
    );

    test.concurrent(
      "a log that retention emptied says where it begins: at the assignment, and while nothing is written to it",
      async () => {
        const { administration } = broker();
        if (administration === undefined) return;
        await using fixture = new Fixture(broker());
        const topic = fixture.topic(2);
        const client = fixture.connect(topic);
        const publish = (values: string[]) =>
          client.publish(values.map((value) => record(topic, "key", value)));
        await publish(numbered("", 10));
        const partition = await eventually(async () => {
          const reader = fixture.read(client, { topics: [topic] });
          await reader.hasAll(["9"]);
          return reader.records[0]?.partition;
        });
        await administration.deleteRecords(topic, partition, 10);
        let waits = true;
        const reader = fixture.read(client, {
          topics: [topic],
          startAt: (_, assigned) => (assigned === partition ? 4 : undefined),
          handle: async (batch) => (waits ? { next: batch.records[0]?.offset ?? 4, pauseMs: 20 } : undefined),
        });
        await eventually(
          () => reader.batches.length >= 3,
          "again and again, as long as the reader does not go on",
        );
        for (const batch of reader.batches) {
          expect(batch).toMatchObject({ topic: topic.name, partition, records: [], start: 10, end: 10 });
        }
        waits = false;
        await eventually(
          () => reader.positions.get(topicPartition(topic.name, partition)) === 10,
          "it goes on",
        );
        const { length } = reader.batches;
        waits = true;
        await publish(numbered("later ", 5));
        await eventually(() => reader.batches.length > length, "the later ones, at which the reader waits");
        await administration.deleteRecords(topic, partition, 15);
        const emptied = await eventually(
          () => reader.batches.find(({ start }) => start === 15),
          "it is emptied",
        );
        expect(emptied).toMatchObject({ records: [], end: 15 });
        waits = false;
        await publish(["last"]);
        await reader.hasAll(["last"]);
      },
      TEST_TIMEOUT_MS,
    );
  });
}
