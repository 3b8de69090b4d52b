import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { commonSettings, loadConfig } from "./config.ts";
import { StartError } from "./errors.ts";
import { Lifecycle } from "./process.ts";
import { openStorage, reclaimSpace } from "./storage.ts";
import { captureLogger } from "./testing/http.ts";

let root: string;
let lifecycle: Lifecycle;
const { log, lines } = captureLogger();
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "storage-"));
  lifecycle = new Lifecycle(captureLogger().log);
});
afterEach(async () => {
  await lifecycle.stopAll(1000);
  rmSync(root, { recursive: true });
});

function open(directory: string, lockWaitMs = 0) {
  const config = loadConfig(Type.Object(commonSettings), { DATA_DIR: directory }, "order");
  const migrations = [{ name: "orders", sql: "CREATE TABLE orders (id TEXT) STRICT" }];
  return openStorage({ name: "order", migrations }, config, lifecycle, { log, lockWaitMs });
}

describe("openStorage", () => {
  test("creates the directory and migrates the database, which the lifecycle closes", async () => {
    const directory = join(root, "a", "b");
    const { sql } = open(directory);
    sql.run("INSERT INTO orders VALUES ('1')");
    expect(readdirSync(directory).filter((name) => name.startsWith(".probe"))).toEqual([]);
    await lifecycle.stopAll(1000);
    expect(() => sql.query("SELECT id FROM orders").all()).toThrow();
    lifecycle = new Lifecycle(captureLogger().log);
    expect(open(directory).sql.query("SELECT id FROM orders").all()).toEqual([{ id: "1" }]);
  });

  test("nobody but their owner can read the directory and the files, also those that others could read before", () => {
    const directory = join(root, "open");
    const modes = () =>
      Object.fromEntries(
        ["", ...readdirSync(directory)].map((name) => [name, statSync(join(directory, name)).mode & 0o777]),
      );
    const expected = {
      "": 0o700,
      "order.lock": 0o600,
      "order.lock-journal": 0o600,
      "order.sqlite": 0o600,
      "order.sqlite-shm": 0o600,
      "order.sqlite-wal": 0o600,
    };
    const umask = process.umask(0);
    try {
      open(directory);
      expect(modes()).toEqual(expected);
    } finally {
      process.umask(umask);
    }
    // What a process that was killed leaves behind, with the permissions of an earlier version.
    const copy = join(root, "copy");
    cpSync(directory, copy, { recursive: true });
    rmSync(join(copy, "order.lock"));
    for (const name of ["", ...readdirSync(copy)]) chmodSync(join(copy, name), name === "" ? 0o755 : 0o644);
    lines.length = 0;
    open(copy);
    const tightened = ["", "order.sqlite", "order.sqlite-shm", "order.sqlite-wal"].map((name) =>
      join(copy, name),
    );
    for (const path of tightened) expect([path, statSync(path).mode & 0o077]).toEqual([path, 0]);
    const logged = lines.map((line) => JSON.parse(line));
    expect(logged.map(({ path }) => path).sort()).toEqual(tightened.map((path) => path.replace(/\/$/, "")));
  });

  test("a directory that is everybody's stays so; the files in it are private", () => {
    chmodSync(root, 0o1777);
    open(root);
    expect(statSync(root).mode & 0o7777).toBe(0o1777);
    expect(statSync(join(root, "order.sqlite")).mode & 0o777).toBe(0o600);
  });

  // Only root can give files away.
  test.if(process.getuid?.() === 0)("refuses a database that another user has put there", () => {
    const path = join(root, "order.sqlite");
    writeFileSync(path, "");
    chownSync(path, 12_345, 12_345);
    expect(() => open(root)).toThrow(new StartError(`DATA_DIR: '${path}' belongs to another user`));
    chownSync(root, 12_345, 12_345);
    expect(open(root).path).toBe(path);
  });

  test.if(process.getuid?.() === 0).each(["-wal", "-shm", "-journal"])(
    "refuses a database beside which another user has put a file: %s",
    async (suffix) => {
      open(root);
      await lifecycle.stopAll(1000);
      const path = join(root, `order.sqlite${suffix}`);
      writeFileSync(path, "");
      chownSync(path, 12_345, 12_345);
      expect(() => open(root)).toThrow(new StartError(`DATA_DIR: '${path}' belongs to another user`));
    },
  );

  test("refuses a database that is in use, after a wait that it logs", () => {
    open(root);
    const path = join(root, "order.sqlite");
    expect(() => open(root, 1)).toThrow(
      new StartError(
        `DATA_DIR: the database in '${root}' cannot be used: ${path} is in use by another process, or opened twice by this one`,
      ),
    );
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ path, waitMs: 1 }),
    );
  });

  test("refuses a file that is not a database", () => {
    writeFileSync(join(root, "order.sqlite"), "not a database".repeat(1000));
    expect(() => open(root)).toThrow(/^DATA_DIR: the database in '.*' cannot be used: .*not a database/);
  });

  test("refuses a directory that is not writable", () => {
    // A file in place of the directory is refused for root, too; a mode would not be.
    writeFileSync(join(root, "file"), "");
    for (const directory of [join(root, "file"), join(root, "file", "below"), "/proc/nothing"]) {
      expect(() => open(directory)).toThrow(StartError);
      expect(() => open(directory)).toThrow("DATA_DIR: files cannot be written in");
    }
  });
});

test("free pages are given back where they are most of the file, and nothing is lost", () => {
  const database = open(root);
  const { sql, path } = database;
  sql.run(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO orders SELECT hex(zeroblob(500)) || i FROM n",
  );
  sql.run("PRAGMA wal_checkpoint(TRUNCATE)");
  const full = statSync(path).size;
  sql.run("DELETE FROM orders WHERE rowid % 10 < 3");
  reclaimSpace(database, log, 1);
  expect(statSync(path).size).toBe(full);
  sql.run("DELETE FROM orders WHERE rowid > 500");
  reclaimSpace(database, log);
  expect(statSync(path).size).toBe(full);
  const count = sql.query("SELECT count(*) AS n FROM orders").get();
  reclaimSpace(database, log, 1);
  expect(statSync(path).size).toBeLessThan(full / 5);
  expect(sql.query("SELECT count(*) AS n FROM orders").get()).toEqual(count);
  expect(sql.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
});
