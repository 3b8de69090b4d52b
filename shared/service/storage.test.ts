import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { commonSettings, loadConfig } from "./config.ts";
import { StartError } from "./errors.ts";
import { Lifecycle } from "./process.ts";
import { openStorage } from "./storage.ts";
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
