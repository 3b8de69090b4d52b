import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { spawnChild } from "./child.ts";
import {
  lockDataDir,
  processesLock,
  rememberReplicas,
  replicasIn,
  untilProcessesEnded,
  wipeDataDir,
} from "./data-dir.ts";
import { fake } from "./testing/processes.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "data dir-"));
  folders.push(path);
  return path;
}

test("only one store can lock a data directory", () => {
  const path = join(folder(), "new", "data");
  const lock = lockDataDir(path);
  expect(() => lockDataDir(path)).toThrow(`another store uses '${path}'`);
  lock.announce("http://localhost:1/");
  expect(() => lockDataDir(path)).toThrow("The store already runs here: http://localhost:1/");
  lock.release();
  lockDataDir(path).release();
});

test("the end of the processes of a store that was killed is waited for", async () => {
  const path = folder();
  const notWaited = () => {
    throw new Error("nothing was to wait for");
  };
  await untilProcessesEnded(path, notWaited);
  const { entry, env } = fake("left", { PROCESSES_LOCK: processesLock(path), FAKE_STUBBORN: "true" });
  const lines: string[] = [];
  const child = spawnChild({ entry, env }, (_, line) => lines.push(line));
  try {
    await eventually(() => lines.length > 0, "the process to run");
    await expect(untilProcessesEnded(path, () => {}, 0)).rejects.toThrow("still use");
    let waits = 0;
    const ended = untilProcessesEnded(path, () => {
      waits += 1;
    });
    await eventually(() => waits === 1, "the wait to begin");
    child.signal("SIGKILL");
    await ended;
    expect(waits).toBe(1);
    await untilProcessesEnded(path, notWaited);
  } finally {
    child.signal("SIGKILL");
    await child.ended;
  }
});

test("a data directory that cannot be created is one line", () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  expect(() => lockDataDir(file)).toThrow(/^DATA_DIR: cannot write files in '.*' \(EEXIST\)$/);
});

test("wiping deletes the data of the store and no other file", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  writeFileSync(join(path, "broker", "log"), "x");
  for (const name of ["order.sqlite", "order.sqlite-wal", "api-gateway.sqlite", "thesis.txt", "orders.csv"]) {
    writeFileSync(join(path, name), "x");
  }
  rememberReplicas(path, 3);
  mkdirSync(join(path, "replica-2"));
  mkdirSync(join(path, "replica-of-a-painting"));
  writeFileSync(join(path, "replica-2", "order.sqlite"), "x");
  wipeDataDir(path);
  expect(readdirSync(path).toSorted()).toEqual(["orders.csv", "replica-of-a-painting", "thesis.txt"]);
});

test("how many instances there were is remembered", () => {
  const path = folder();
  expect(replicasIn(path)).toBeUndefined();
  rememberReplicas(path, 3);
  expect(replicasIn(path)).toBe(3);
});

test("wiping fails while an instance has its database open", () => {
  const path = folder();
  mkdirSync(join(path, "replica-2"));
  const database = new Database(join(path, "replica-2", "order.sqlite"), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("CREATE TABLE t (a)");
  expect(() => wipeDataDir(path)).toThrow("order.sqlite' is in use");
  database.close();
  wipeDataDir(path);
  expect(readdirSync(path)).toEqual([]);
});

test("wiping fails while a service has its database open", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  const database = new Database(join(path, "order.sqlite"), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("CREATE TABLE t (a)");
  expect(() => wipeDataDir(path)).toThrow(
    "order.sqlite' is in use; stop the process that uses it before --fresh",
  );
  expect(readdirSync(path)).toContain("broker");
  database.close();
  wipeDataDir(path);
  expect(readdirSync(path)).toEqual([]);
});

test("wiping a directory that does not exist", () => {
  wipeDataDir(join(folder(), "absent"));
});
