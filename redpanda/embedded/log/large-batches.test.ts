/** Large batches: other work runs while they are validated, and the order of what arrived stays. */
import { afterEach, expect, test } from "bun:test";
import { ErrorCode } from "../errors.ts";
import { ApiKey } from "../registry.ts";
import { batchOf, textsIn } from "../testing/batches.ts";
import { RawClient } from "../testing/raw-client.ts";
import {
  createTopic,
  FETCH,
  fetchBody,
  fetched,
  PRODUCE,
  produceBody,
  produced,
} from "../testing/requests.ts";
import { cleanAll, temporaryBroker } from "../testing/temporary.ts";
import { parseTopicConfig } from "../topics/config.ts";
import { Arrivals } from "./arrivals.ts";
import { AT, type RecordBatch } from "./batch.ts";
import { Codec, decompress, decompressLarge } from "./codecs.ts";
import { crc32c } from "./crc32c.ts";
import { type LogRecord, readRecords, recordsOf, withRecords } from "./records.ts";
import { validateRecords } from "./validation.ts";

afterEach(cleanAll);

/** How often the event loop turns until `work` is done. */
async function turnsDuring(work: () => Promise<unknown> | undefined): Promise<number> {
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns += 1;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  isDone = true;
  return turns;
}

const limits = parseTopicConfig({});
const records = Array.from({ length: 20_000 }, (_, index) => `record ${index}`);

test.each(Object.entries(Codec))(
  "the event loop turns while a large batch with codec %s is validated",
  async (_, codec) => {
    const batch = batchOf(records, { codec });
    expect(await turnsDuring(() => validateRecords(batch, limits, 1_000))).toBeGreaterThan(5);
  },
);

test.each(Object.entries(Codec))(
  "the event loop turns while a large batch with codec %s is read, and one is made of it",
  async (_, codec) => {
    const batch = batchOf(records, { codec });
    let read: LogRecord[] | undefined;
    const turns = await turnsDuring(async () => {
      read = await readRecords(batch);
    });
    expect(turns).toBeGreaterThan(5);
    expect(read).toEqual(recordsOf(batch));
    let made: RecordBatch | undefined;
    const making = withRecords(batch, read?.slice(1) ?? []).then((result) => {
      made = result;
    });
    // What a thread compresses cannot be there before the event loop turns; how often it turns is the machine's affair.
    for (let microtask = 0; microtask < 100; microtask++) await undefined;
    if (codec !== Codec.none) expect(made).toBeUndefined();
    await making;
    expect(made && recordsOf(made)).toEqual(recordsOf(batch)?.slice(1));
  },
);

test.each(Object.entries(Codec))("a small batch with codec %s is validated at once", (_, codec) => {
  expect(validateRecords(batchOf(["a", "b"], { codec }), limits, 1_000)).toBeUndefined();
});

/** Snappy: ten bytes, then the same 64 bytes again and again. */
function repetitive(copies: number): Buffer {
  const size = 10 + copies * 64;
  const length = [];
  for (let rest = size; rest > 0; rest = rest >>> 7) length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  const literal = [9 << 2, ...Buffer.from("0123456789")];
  const copy = Buffer.from([(63 << 2) | 2, 10, 0]);
  return Buffer.concat([Buffer.from([...length, ...literal]), Buffer.alloc(copies * 3, copy)]);
}

test("the decoders pause, with the same result", async () => {
  const data = repetitive(100_000);
  let result: Buffer = Buffer.alloc(0);
  const turns = await turnsDuring(async () => {
    result = await decompressLarge(Codec.snappy, data);
  });
  expect(turns).toBeGreaterThan(10);
  expect(result.equals(decompress(Codec.snappy, data))).toBe(true);
  expect(result.toString("latin1")).toBe("0123456789".repeat(640_001));
});

test("batches of one log keep the order in which they arrived, whatever their sizes; a refused one changes nothing", async () => {
  const client = await RawClient.connect(await temporaryBroker());
  await createTopic(client, "t");
  const large = batchOf(records.slice(0, 19_000), { codec: Codec.gzip });
  const { bytes: broken } = batchOf(records, { codec: Codec.gzip });
  broken.writeInt32BE(20_000, AT.lastOffsetDelta);
  broken.writeInt32BE(20_001, AT.count);
  broken.writeUInt32BE(crc32c(broken, AT.attributes), AT.crc);
  const batches = [batchOf(["first"]), large, batchOf(["after"]), broken, batchOf(["last"])];
  for (const batch of batches) client.send(ApiKey.Produce, PRODUCE, produceBody("t", batch));
  const answers = [];
  for (const _ of batches) answers.push(produced(await client.response(ApiKey.Produce, PRODUCE)));
  expect(
    answers.map(({ code, baseOffset }) => (code === ErrorCode.NONE ? baseOffset : `error ${code}`)),
  ).toEqual([0, 1, 19_001, `error ${ErrorCode.INVALID_RECORD}`, 19_002]);
  const last = fetched(await client.request(ApiKey.Fetch, FETCH, fetchBody("t", { offset: 19_002 })));
  expect(textsIn(last.records)).toEqual(["19002:=last"]);
});

test("arrivals: what comes later waits, what is refused is left out, and nothing waits without need", async () => {
  const arrivals = new Arrivals();
  const order: string[] = [];
  const add = (name: string, validated?: Promise<void>) => arrivals.add(validated, () => order.push(name));
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  expect(add("at once")).toBe(1);
  const waiting = [add("first", first.promise), add("second", second.promise), add("third")];
  second.reject(new Error("refused"));
  const results = Promise.allSettled(waiting);
  await Promise.resolve();
  expect(order).toEqual(["at once"]);
  first.resolve();
  expect((await results).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(order).toEqual(["at once", "first", "third"]);
  await Promise.resolve();
  expect(add("again at once")).toBe(4);
});
