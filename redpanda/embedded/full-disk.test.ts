/** A file system without space, not only an injected fault. Only root may mount one. */
import { afterEach, expect, test } from "bun:test";
import { statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorCode, KafkaError } from "./errors.ts";
import { batchesIn, batchOf } from "./testing/batches.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

const MIB = 1024 * 1024;

/** A file system of 4 MiB in memory; undefined without the permission. */
async function smallDisk(): Promise<string | undefined> {
  const path = await temporaryDirectory();
  const mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", path];
  if (Bun.which("mount") === null || Bun.spawnSync(mount, { stderr: "ignore" }).exitCode !== 0)
    return undefined;
  cleanUp(() => Bun.spawnSync(["umount", "--lazy", path]));
  return path;
}

test("a full disk refuses records and loses none; with space again, records are stored", async () => {
  const disk = await smallDisk();
  if (disk === undefined) {
    console.warn("skipped the test with a full disk, which needs the permission to mount a file system");
    return;
  }
  const dataDir = join(disk, "data");
  const broker = await temporaryBroker({ dataDir });
  const [log] = (await broker.topics.create("t", 1, {})).partitions;
  const filler = join(disk, "filler");
  await writeFile(filler, Buffer.alloc(2 * MIB));
  const stored: string[] = [];
  const store = async (text: string) => {
    await log?.append(batchOf([text])).durable;
    stored.push(text);
  };
  const padding = "x".repeat(100_000);
  let refusal: unknown;
  for (let number = 0; refusal === undefined && number < 100; number++) {
    refusal = await store(`${number} ${padding}`).catch((error: unknown) => error);
  }
  expect(stored.length).toBeGreaterThan(5);
  expect(refusal).toBeInstanceOf(KafkaError);
  expect(refusal).toMatchObject({ code: ErrorCode.KAFKA_STORAGE_ERROR });
  const { bavail, bsize } = await statfs(disk);
  expect(bavail * bsize).toBeLessThan(padding.length);
  await expect(store(`again ${padding}`)).rejects.toMatchObject({ code: ErrorCode.KAFKA_STORAGE_ERROR });
  await truncate(filler, 0);
  await store(`after ${padding}`);
  await broker.stop();
  const again = await temporaryBroker({ dataDir });
  const [reopened] = again.topics.resolve({ name: "t", id: null }).partitions;
  const batches = batchesIn((await reopened?.read(0, 8 * MIB, true)) ?? Buffer.alloc(0));
  expect(batches).toHaveLength(stored.length);
  for (const [index, text] of stored.entries()) expect(batches[index]?.payload.toString()).toContain(text);
  await again.stop();
});
