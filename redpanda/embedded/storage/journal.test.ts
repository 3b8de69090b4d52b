import { afterEach, expect, test } from "bun:test";
import { appendFile, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32c } from "../log/crc32c.ts";
import { createLogger } from "../logger.ts";
import { cleanAll, cleanUp, temporaryDirectory } from "../testing/temporary.ts";
import { Disk } from "./disk.ts";
import { Journal } from "./journal.ts";

afterEach(cleanAll);

const logger = createLogger("silent");

async function openJournal(path: string, disk = new Disk(), cleanStop = false): Promise<Journal> {
  const journal = await Journal.open(disk, path, { cleanStop, logger });
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
  "a torn last line is cut off and kept, and only after an unclean stop: %j",
  async (tail) => {
    const path = await temporaryPath();
    const journal = await openJournal(path);
    await journal.write([["a", 1]]);
    await appendFile(path, tail);
    const torn = await readFile(path);
    const position = torn.length - tail.length;
    const place = `${path} is damaged: line 2, at byte ${position}`;
    await expect(openJournal(path, new Disk(), true)).rejects.toThrow(place);
    expect(await readFile(path)).toEqual(torn);
    const again = await openJournal(path);
    const [kept = ""] = (await readdir(dirname(path))).filter((name) => name.includes(".cut-"));
    expect(await readFile(join(dirname(path), kept), "utf8")).toBe(tail);
    await again.write([["b", 2]]);
    expect([...(await openJournal(path)).entries("")]).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  },
);

test.each([false, true])(
  "a damaged line before the last one is refused; clean stop: %p",
  async (cleanStop) => {
    const path = await temporaryPath();
    const journal = await openJournal(path);
    for (const key of ["a", "b", "c"]) await journal.write([[key, 1]]);
    const intact = await readFile(path);
    const second = intact.indexOf("\n") + 1;
    for (let at = 0; at < intact.lastIndexOf("\n", -2); at++) {
      const damaged = Buffer.from(intact);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x20, at);
      await writeFile(path, damaged);
      const line = at < second ? "line 1, at byte 0," : `line 2, at byte ${second},`;
      await expect(openJournal(path, new Disk(), cleanStop)).rejects.toThrow(`${path} is damaged: ${line}`);
      expect(await readFile(path)).toEqual(damaged);
    }
  },
);

test("the changes of one write are one line, and the lines of earlier versions are read", async () => {
  const path = await temporaryPath();
  await writeFile(path, `${checksumOf('["old",1]')} ["old",1]\n`);
  const journal = await openJournal(path);
  await journal.write([
    ["old", null],
    ["new", 2],
  ]);
  expect((await readFile(path, "utf8")).split("\n")[1]).toEndWith(' [["old",null],["new",2]]');
  expect([...(await openJournal(path)).entries("")]).toEqual([["new", 2]]);
});

function checksumOf(text: string): string {
  return crc32c(Buffer.from(text)).toString(16).padStart(8, "0");
}

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
