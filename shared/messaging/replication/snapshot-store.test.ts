import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRuntime } from "../runtime.ts";
import { FolderSnapshots, measure, named, snapshotOf } from "./snapshot-store.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "snapshots-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const digest = "ab".repeat(32);
const place = {
  service: "parcel-desk",
  epoch: 3,
  seq: 40,
  next: 55,
  log: "0123456789ab",
  bytes: 4096,
  digest,
};

test("a name says what a snapshot is, and names sort as the groups do", () => {
  const snapshot = named(place);
  expect(snapshotOf(snapshot)).toEqual(snapshot);
  const largest = named({ ...place, service: "a_b", epoch: 1, seq: Number.MAX_SAFE_INTEGER });
  expect(snapshotOf(largest)).toEqual(largest);
  const names = [9, 10, 99, 1_000].map((seq) => named({ ...place, seq }).name);
  expect(names.toSorted()).toEqual(names);
});

test("what has another name, or another size than its name says, is no snapshot", () => {
  const { name } = named(place);
  for (const other of [
    "",
    "notes.txt",
    `${name}.partial`,
    name.replace("_0", "_"),
    name.slice(1 + name.indexOf("_")),
  ]) {
    expect(snapshotOf({ name: other, bytes: 4096 })).toBeUndefined();
  }
  expect(snapshotOf({ name, bytes: 4095 })).toBeUndefined();
});

test("a file is measured in parts", async () => {
  const file = join(directory, "file");
  const content = Buffer.alloc(3 * 1024 * 1024 + 7, "content");
  writeFileSync(file, content);
  const expected = createHash("sha256").update(content).digest("hex");
  expect(await measure(file, systemRuntime)).toEqual({ bytes: content.length, digest: expected });
});

test("a folder is made when it is missing, lists files with their sizes, and has them whole or not at all", async () => {
  const folder = join(directory, "a", "b");
  const store = new FolderSnapshots(folder);
  expect(await store.list()).toEqual([]);
  const [file, copy] = [join(directory, "file"), join(directory, "copy")];
  writeFileSync(file, "content");
  await store.put("one", file);
  await store.put("one", file);
  mkdirSync(join(folder, "folder"));
  expect(await store.list()).toEqual([{ name: "one", bytes: 7 }]);
  await store.get("one", copy);
  expect(readFileSync(copy, "utf8")).toBe("content");
  await expect(store.put("two", join(directory, "missing"))).rejects.toThrow();
  await expect(store.get("two", copy)).rejects.toThrow();
  expect(readdirSync(folder).sort()).toEqual(["folder", "one"]);
  await store.remove("one");
  await store.remove("one");
  expect(await store.list()).toEqual([]);
});

test("what a process has left that ended during a copy is removed a day later, and nothing else", async () => {
  const store = new FolderSnapshots(directory);
  const [old, recent] = [1, 2].map(
    (digit) => `${String(digit).repeat(8)}-0000-4000-8000-000000000000.partial`,
  );
  const names = [old, recent, "notes.partial", "one"].map(String);
  for (const name of names) writeFileSync(join(directory, name), "content");
  const before = new Date(Date.now() - 25 * 60 * 60_000);
  for (const name of names) if (name !== recent) utimesSync(join(directory, name), before, before);
  await store.put("two", join(directory, "one"));
  expect(readdirSync(directory).sort()).toEqual(["two", ...names.slice(1)].sort());
});
