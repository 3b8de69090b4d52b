import { Database } from "bun:sqlite";
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
import type { ServiceDatabase } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { commonSettings, loadConfig } from "./config.ts";
import { StartError } from "./errors.ts";
import { Lifecycle } from "./process.ts";
import { giveBackPages, openStorage, reclaimSpace } from "./storage.ts";
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

describe("free pages are given back where they are most of the file, and nothing is lost", () => {
  const size = ({ sql, path }: ServiceDatabase) => {
    sql.run("PRAGMA wal_checkpoint(TRUNCATE)");
    return statSync(path).size;
  };

  /** @param giveBack gets the fewest bytes that are given back */
  function freeMost(database: ServiceDatabase, giveBack: (minFreeBytes?: number) => void) {
    const { sql } = database;
    sql.run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO orders SELECT hex(zeroblob(500)) || i FROM n",
    );
    const full = size(database);
    sql.run("DELETE FROM orders WHERE rowid % 10 < 3");
    giveBack(1);
    expect(size(database)).toBe(full);
    sql.run("DELETE FROM orders WHERE rowid > 500");
    giveBack();
    expect(size(database)).toBe(full);
    const count = sql.query("SELECT count(*) AS n FROM orders").get();
    giveBack(1);
    expect(sql.query("SELECT count(*) AS n FROM orders").get()).toEqual(count);
    expect(sql.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    return size(database) / full;
  }

  test("in steps, between which others write, until they are the lesser part", () => {
    const database = open(root);
    let steps = 0;
    const left = freeMost(database, (minFreeBytes) => {
      while (giveBackPages(database, minFreeBytes)) steps += 1;
    });
    expect(left).toBeLessThan(0.25);
    expect(steps).toBeGreaterThan(3);
  });

  test("at a start, also of a file that an earlier version has created, which can do it in steps from then on", () => {
    const file = new Database(join(root, "order.sqlite"), { create: true });
    file.run("VACUUM");
    file.run("CREATE TABLE before (id INTEGER)");
    file.close();
    const database = open(root);
    expect(database.sql.query("PRAGMA auto_vacuum").get()).toEqual({ auto_vacuum: 0 });
    const left = freeMost(database, (minFreeBytes) => {
      expect(giveBackPages(database, minFreeBytes)).toBe(false);
      reclaimSpace(database, log, minFreeBytes);
    });
    expect(left).toBeLessThan(0.2);
    expect(database.sql.query("PRAGMA auto_vacuum").get()).toEqual({ auto_vacuum: 2 });
  });
});
