/** What a start does with damaged or missing files: it refuses and names the place, or keeps everything and logs it. */
import { afterEach, expect, test } from "bun:test";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createLogger } from "./logger.ts";
import { batchOf } from "./testing/batches.ts";
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
