import { afterEach, expect, test } from "bun:test";
import { appendFile, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { cleanAll, cleanUp, temporaryDirectory } from "../testing/temporary.ts";
import { Disk } from "./disk.ts";
import { Journal } from "./journal.ts";

afterEach(cleanAll);

async function openJournal(path: string, disk = new Disk()): Promise<Journal> {
  const journal = await Journal.open(disk, path);
  cleanUp(() => journal.close().catch(() => {}));
  return journal;
}

async function temporaryPath(): Promise<string> {
  return join(await temporaryDirectory(), "state.journal");
}

test("entries survive a restart, removed ones do not", async () => {
  const path = await temporaryPath();
  const journal = await openJournal(path);
  await journal.write([
    ["a", 1],
    ["b", { text: "line\nbreak \u0000" }],
    ["c", [1, "x"]],
  ]);
  await journal.write([
    ["a", 2],
    ["c", null],
  ]);
  const again = await openJournal(path);
  expect([...again.entries("")]).toEqual([
    ["a", 2],
    ["b", { text: "line\nbreak \u0000" }],
  ]);
  expect([...again.entries("b")]).toHaveLength(1);
});

test.each(['deadbeef ["x",1]\n', "00000000", "\0\0\0\0\0\0\0\0\0\0\0\0", "not a line\n"])(
  "a torn tail is truncated: %j",
  async (tail) => {
    const path = await temporaryPath();
    const journal = await openJournal(path);
    await journal.write([["a", 1]]);
    await appendFile(path, tail);
    const again = await openJournal(path);
    await again.write([["b", 2]]);
    expect([...(await openJournal(path)).entries("")]).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  },
);

test("a failed write changes nothing, and the next one succeeds", async () => {
  const disk = new Disk();
  const path = await temporaryPath();
  const journal = await openJournal(path, disk);
  await journal.write([["a", 1]]);
  disk.fault = (operation) => {
    if (operation === "sync") throw new Error("no space left on device");
  };
  await expect(journal.write([["a", 2]])).rejects.toThrow("no space");
  expect(journal.get("a")).toBe(1);
  disk.fault = undefined;
  await journal.write([["b", 2]]);
  expect([...(await openJournal(path)).entries("")]).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
});

test("the file size stays bounded under many changes, and no change is lost", async () => {
  const path = await temporaryPath();
  const journal = await openJournal(path);
  const text = "x".repeat(100_000);
  for (let i = 0; i < 100; i++) await journal.write([[`key ${i % 3}`, [i, text]]]);
  expect((await stat(path)).size).toBeLessThan(3_000_000);
  const again = await openJournal(path);
  expect([...again.entries("")].map(([key, value]) => [key, Array.isArray(value) && value[0]])).toEqual([
    ["key 0", 99],
    ["key 1", 97],
    ["key 2", 98],
  ]);
});

test("after a failed rewrite the old file stays in use", async () => {
  const disk = new Disk();
  const path = await temporaryPath();
  const journal = await openJournal(path, disk);
  disk.fault = (operation) => {
    if (operation === "rename") throw new Error("no");
  };
  for (let i = 0; i < 30; i++) await journal.write([["key", [i, "x".repeat(100_000)]]]);
  disk.fault = undefined;
  expect((await readFile(path)).length).toBeGreaterThan(2_000_000);
  expect((await openJournal(path)).get("key")).toEqual([29, "x".repeat(100_000)]);
  for (let i = 0; i < 100; i++) await journal.write([["key", [i, "x".repeat(100_000)]]]);
  expect((await readFile(path)).length).toBeLessThan(5_000_000);
  expect(await readdir(join(path, ".."))).toEqual(["state.journal"]);
});
