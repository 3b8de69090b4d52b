/** Failures of the disk, one operation after the other: no file stays open, and the broker goes on. */
import { afterEach, expect, test } from "bun:test";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorCode } from "./errors.ts";
import { compact } from "./log/compaction.ts";
import { PartitionLog } from "./log.ts";
import { createLogger } from "./logger.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { parseTopicConfig } from "./topics/config.ts";

afterEach(cleanAll);

/** A fault that fails the operation with this number, counted from 0, and every later one. */
function failFrom(number: number): () => void {
  let count = 0;
  return () => {
    if (count++ >= number) throw Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" });
  };
}

/** Fails `work` at its first operation, at its second, and so on, until it succeeds. @returns the failures */
async function failEverywhere(
  disk: Disk,
  work: () => Promise<unknown>,
  check: (error: unknown) => void,
): Promise<number> {
  for (let number = 0; ; number++) {
    disk.fault = failFrom(number);
    const failure = await work().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    disk.fault = undefined;
    if (!failure) return number;
    check(failure.error);
  }
}

test("no file stays open when a topic cannot be created or grown, and the request is refused", async () => {
  const { disk, topics } = await temporaryBroker();
  const before = disk.openFiles;
  const isRefused = (error: unknown) => {
    expect(error).toMatchObject({
      code: ErrorCode.KAFKA_STORAGE_ERROR,
      message: expect.stringContaining("EMFILE"),
    });
  };
  const created = await failEverywhere(
    disk,
    () => topics.create("a", 3, {}),
    (error) => {
      isRefused(error);
      expect(disk.openFiles).toBe(before);
    },
  );
  expect(created).toBeGreaterThan(6);
  expect(disk.openFiles).toBe(before + 3);
  const topic = topics.resolve({ name: "a", id: null });
  const grown = await failEverywhere(
    disk,
    () => topics.grow(topic, 5, false),
    (error) => {
      isRefused(error);
      expect(disk.openFiles).toBe(before + 3);
    },
  );
  expect(grown).toBeGreaterThan(4);
  expect(disk.openFiles).toBe(before + 5);
});

test("no file stays open when the segments of a log cannot be compacted", async () => {
  const dataDir = await temporaryDirectory();
  const first = await temporaryBroker({ dataDir });
  const configs = { "segment.bytes": "100", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0" };
  const topic = await first.topics.create("a", 1, configs);
  const [log] = topic.partitions;
  if (!log) throw new Error("no partition");
  for (const key of ["a", "b", "a", "b"]) await log.append(batchOf([{ key, value: "v" }])).durable;
  const open = first.disk.openFiles;
  const failures = await failEverywhere(
    first.disk,
    () => compact(log),
    () => {
      expect(first.disk.openFiles).toBeLessThanOrEqual(open);
    },
  );
  expect(failures).toBeGreaterThan(4);
  await first.stop();
  expect(first.disk.openFiles).toBe(0);
  // The merged segments could not all be removed, so the next start treats the stop as an unclean one.
  const lines: string[] = [];
  const again = await temporaryBroker({ dataDir, logger: createLogger("error", (line) => lines.push(line)) });
  const after = again.topics.log({ name: "a", id: null }, 0);
  const texts: string[] = [];
  for (const offset of [0, 2, 3]) texts.push(...textsIn(await after.read(offset, 10_000, true)));
  expect(texts).toEqual(["1:b=v", "2:a=v", "3:b=v"]);
  expect(lines).toEqual([]);
});

test("no file stays open when a log or the journal cannot be opened", async () => {
  const directory = await temporaryDirectory();
  const disk = new Disk();
  const logger = createLogger("silent");
  const options = { directory, disk, logger, config: parseTopicConfig({ "segment.bytes": "100" }) };
  const log = await PartitionLog.open(options);
  for (const value of ["a", "b", "c"]) await log.append(batchOf([value])).durable;
  await log.close();
  await appendFile(log.segments.active.path, "torn");
  const journalPath = join(directory, "journal");
  await writeFile(journalPath, "torn");
  const isClosed = () => expect(disk.openFiles).toBe(0);
  const openLog = async () => (await PartitionLog.open(options)).close();
  const openJournal = async () =>
    (await Journal.open(disk, journalPath, { cleanStop: false, logger })).close();
  expect(await failEverywhere(disk, openLog, isClosed)).toBeGreaterThan(6);
  expect(await failEverywhere(disk, openJournal, isClosed)).toBeGreaterThan(4);
  isClosed();
});

test("the journal takes changes while no second file can be opened for its rewrite", async () => {
  const directory = await temporaryDirectory();
  const disk = new Disk();
  const journalPath = join(directory, "journal");
  const options = { cleanStop: false, logger: createLogger("silent") };
  const journal = await Journal.open(disk, journalPath, options);
  cleanUp(() => journal.close());
  disk.fault = (operation) => {
    if (operation === "open") throw new Error("EMFILE: too many open files");
  };
  for (let round = 0; round < 30; round++) await journal.write([["key", [round, "x".repeat(100_000)]]]);
  expect(disk.openFiles).toBe(1);
});

test("the partitions of all topics together are bounded, also while several are created", async () => {
  const { topics } = await temporaryBroker({ maxPartitions: 5 });
  const refused = { code: ErrorCode.POLICY_VIOLATION, message: expect.stringContaining("may have 5") };
  const [one, other] = await Promise.allSettled([topics.create("a", 3, {}), topics.create("b", 3, {})]);
  expect(one.status).toBe("fulfilled");
  expect(other).toMatchObject({ status: "rejected", reason: refused });
  const a = topics.resolve({ name: "a", id: null });
  await expect(topics.grow(a, 6, true)).rejects.toMatchObject(refused);
  await topics.grow(a, 5, false);
  await topics.delete(a, () => []);
  await topics.create("b", 5, {});
});

test("the partitions of a topic count until it is there, also while its entry is written", async () => {
  const { topics } = await temporaryBroker({ maxPartitions: 5 });
  let isCreated = false;
  const creating = topics.create("a", 3, {}).then(() => {
    isCreated = true;
  });
  while (!isCreated) {
    expect(() => topics.checkNew("b", 3, {})).toThrow("may have 5");
    await new Promise(setImmediate);
  }
  await creating;
});

test("a stop that cannot be recorded as clean is a stop, and frees the directory", async () => {
  const dataDir = await temporaryDirectory();
  const first = await temporaryBroker({ dataDir });
  first.disk.fault = (_operation, path) => {
    if (path.endsWith("clean-stop")) throw new Error("EMFILE: too many open files");
  };
  await first.stop();
  const second = await temporaryBroker({ dataDir });
  await second.stop();
});
