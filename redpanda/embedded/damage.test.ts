/** What a start does with damaged or missing files: it refuses and names the place, or keeps everything and logs it. */
import { afterEach, expect, test } from "bun:test";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Broker, startBroker } from "./broker.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import { Codec } from "./log/codecs.ts";
import type { PartitionLog } from "./log.ts";
import { createLogger } from "./logger.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { BrokerProcess } from "./testing/process.ts";
import { cleanAll, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

/** A data directory with the topics `a` and `b`, each with one record, after a clean stop. */
async function storedTopics(): Promise<string> {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  for (const name of ["a", "b"]) {
    const topic = await broker.topics.create(name, 1, {});
    await topic.partitions[0]?.append(batchOf([`value of ${name}`])).durable;
  }
  await broker.stop();
  return dataDir;
}

test("a clean stop is recorded, and neither a running broker nor a killed one has the record", async () => {
  const dataDir = await temporaryDirectory();
  const files = () => readdir(join(dataDir, "broker"));
  const first = await BrokerProcess.start(dataDir);
  expect(await files()).not.toContain("clean-stop");
  await first.end("SIGTERM");
  expect(await files()).toContain("clean-stop");
  const second = await BrokerProcess.start(dataDir);
  await second.end("SIGKILL");
  expect(await files()).not.toContain("clean-stop");
});

test("a start that refuses changes nothing, not even the record of the clean stop", async () => {
  const dataDir = await storedTopics();
  await writeFile(join(dataDir, "state.journal"), "damaged\n");
  const files = async () => (await readdir(dataDir, { recursive: true })).sort();
  const before = await files();
  await expect(temporaryBroker({ dataDir })).rejects.toThrow("line 1, at byte 0, has a wrong checksum");
  expect(await files()).toEqual(before);
});

test("a failed write whose bytes cannot be removed makes the stop an unclean one", async () => {
  const dataDir = await storedTopics();
  const broker = await temporaryBroker({ dataDir });
  broker.disk.fault = (operation, path) => {
    const isSegment = path.endsWith(".log");
    if (isSegment && (operation === "sync" || operation === "truncate")) throw new Error("broken");
  };
  const log = broker.topics.log({ name: "a", id: null }, 0);
  await expect(log.append(batchOf(["refused"])).durable).rejects.toThrow("broken");
  await broker.stop();
  expect(await readdir(dataDir)).not.toContain("clean-stop");
  // The refused record may be stored or not, as after a crash.
  const again = await temporaryBroker({ dataDir });
  expect(again.topics.log({ name: "a", id: null }, 0).highWatermark).toBeGreaterThanOrEqual(1);
});

test("a missing or empty journal beside topics is refused, and the topics stay", async () => {
  const dataDir = await storedTopics();
  const journal = join(dataDir, "state.journal");
  const topics = await readdir(join(dataDir, "topics"));
  await rename(journal, `${journal}.away`);
  await expect(temporaryBroker({ dataDir })).rejects.toThrow("is missing or empty");
  await writeFile(journal, "");
  await expect(temporaryBroker({ dataDir })).rejects.toThrow("is missing or empty");
  await rename(`${journal}.away`, journal);
  const broker = await temporaryBroker({ dataDir });
  expect(broker.topics.all().map(({ name }) => name)).toEqual(["a", "b"]);
  expect(await readdir(join(dataDir, "topics"))).toEqual(topics);
});

test("a partition without files is refused by name, not created empty", async () => {
  const dataDir = await storedTopics();
  const [a = ""] = await readdir(join(dataDir, "topics"));
  await rm(join(dataDir, "topics", a, "0"), { recursive: true });
  await expect(temporaryBroker({ dataDir })).rejects.toThrow(/partition 0 of [ab] has no files in/);
  await mkdir(join(dataDir, "topics", a, "0"));
  await expect(temporaryBroker({ dataDir })).rejects.toThrow(/partition 0 of [ab] has no files in/);
});

test("a directory without a topic is set aside with its content, and logged", async () => {
  const dataDir = await storedTopics();
  await mkdir(join(dataDir, "topics", "unknown", "0"), { recursive: true });
  await writeFile(join(dataDir, "topics", "unknown", "0", "00000000000000000000.log"), "records");
  const lines: string[] = [];
  const broker = await temporaryBroker({ dataDir, logger: createLogger("warn", (line) => lines.push(line)) });
  expect(broker.topics.all()).toHaveLength(2);
  expect(await readdir(join(dataDir, "topics"))).not.toContain("unknown");
  const [kept = ""] = await readdir(join(dataDir, "set-aside"));
  expect(kept).toStartWith("unknown.");
  expect(await Bun.file(join(dataDir, "set-aside", kept, "0", "00000000000000000000.log")).text()).toBe(
    "records",
  );
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: "warn", msg: "a directory without a topic was set aside", name: "unknown" },
  ]);
});

/** Numbers from 0 to below 1, the same for the same seed. Source: mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ROUNDS = process.env.SLOW_TESTS === "true" ? 1_000 : 100;
const PLAIN = "plain";
const COMPACTED = "compacted";

/** What every offset of a partition has: the records of its batch and what its checksum does not cover, or the error. */
async function contentOf(log: PartitionLog): Promise<Map<number, string>> {
  const content = new Map<number, string>();
  for (let offset = log.startOffset; offset < RECORDS; offset++) {
    const read = await log.read(offset, 1, true).catch((error: unknown) => {
      if (error instanceof KafkaError) return error.code;
      throw error;
    });
    content.set(
      offset,
      typeof read === "number" ? `error ${read}` : `${textsIn(read)} ${read.toString("hex", 0, 17)}`,
    );
  }
  return content;
}

const RECORDS = 60;

test("one changed byte of any file is a refused start or an error to the reader, and nothing is lost silently", async () => {
  const original = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir: original });
  const overrides = { "segment.bytes": "1000", "retention.ms": "-1" };
  const plain = await broker.topics.create(PLAIN, 1, overrides);
  const compacted = await broker.topics.create(COMPACTED, 1, {
    ...overrides,
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0",
  });
  for (let number = 0; number < RECORDS; number += 2) {
    const records = [number, number + 1].map((key) => ({ key: `key ${key}`, value: `value ${key}` }));
    const codec = number % 3 === 0 ? Codec.gzip : Codec.none;
    for (const { partitions } of [plain, compacted])
      await partitions[0]?.append(batchOf(records, { codec })).durable;
  }
  await broker.topics.deleteRecords(plain, 0, 3);
  await broker.cleaner.run();
  const expected = new Map<string, Map<number, string>>();
  for (const {
    name,
    partitions: [log],
  } of [plain, compacted])
    if (log) expected.set(name, await contentOf(log));
  await broker.stop();

  const files: string[] = [];
  for (const entry of await readdir(original, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await stat(path)).size > 0) files.push(path.slice(original.length + 1));
  }
  expect(files.length).toBeGreaterThan(6);
  const seen = { refused: 0, unreadable: 0, cut: 0 };
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomOf(seed);
    const dataDir = join(await temporaryDirectory(), "data");
    await cp(original, dataDir, { recursive: true });
    const cleanStop = random() < 0.5;
    if (!cleanStop) await rm(join(dataDir, "clean-stop"));
    const candidates = cleanStop ? files : files.filter((name) => name !== "clean-stop");
    const path = join(dataDir, candidates[Math.floor(random() * candidates.length)] ?? "");
    const bytes = await readFile(path);
    const at = Math.floor(random() * bytes.length);
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 + Math.floor(random() * 255)), at);
    await writeFile(path, bytes);
    const what = `seed ${seed}: byte ${at} of ${path}, clean stop: ${cleanStop}`;

    const lines: string[] = [];
    const logger = createLogger("warn", (line) => lines.push(line));
    const started = await startBroker({ dataDir, port: 0, logger }).catch((error: unknown) => error);
    if (!(started instanceof Broker)) {
      expect(String(started), what).toContain(`${path} is damaged`);
      seen.refused += 1;
      continue;
    }
    const wasCut = lines.some((line) => line.includes("keptIn"));
    const differences: string[] = [];
    for (const [name, content] of expected) {
      const log = started.topics.find({ name, id: null })?.partitions[0];
      const found = log ? await contentOf(log).catch(() => undefined) : undefined;
      for (const [offset, texts] of content) {
        const now = found?.get(offset) ?? "nothing";
        if (now === texts) continue;
        differences.push(`${name} ${offset}: ${now}`);
      }
    }
    await started.stop();
    const reports = lines.filter((line) => line.includes(path)).length;
    if (wasCut) {
      // The tail of the journal or of the last segment, as after a crash: it is kept.
      expect(cleanStop, what).toBe(false);
      const kept = (await readdir(dirname(path))).find((name) => name.startsWith(`${basename(path)}.cut-`));
      const cut = await readFile(join(dirname(path), kept ?? ""));
      expect(
        Buffer.concat([await readFile(path), cut])
          .subarray(0, bytes.length)
          .includes(cut),
        what,
      ).toBe(true);
      seen.cut += 1;
    } else if (differences.length > 0) {
      const isError = (text: string) => text.endsWith(`error ${ErrorCode.CORRUPT_MESSAGE}`);
      // The offsets of one batch; of two neighbours in a compacted topic, whose offsets have gaps.
      expect(
        differences.filter((text) => !isError(text)),
        what,
      ).toEqual([]);
      expect(differences.length, what).toBeLessThanOrEqual(4);
      seen.unreadable += 1;
    }
    expect(differences.length === 0 || reports > 0, what).toBe(true);
  }
  expect(Math.min(seen.refused, seen.unreadable, seen.cut)).toBeGreaterThan(0);
}, 300_000);
