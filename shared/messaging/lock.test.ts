import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "./database.ts";
import { DatabaseInUse } from "./errors.ts";
import { acquireLock } from "./lock.ts";
import { silentLogger } from "./runtime.ts";

const directory = mkdtempSync(join(tmpdir(), "lock-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("is held by one at a time, and by the next after the release", () => {
  const path = join(directory, "one.lock");
  const first = acquireLock(path);
  expect(first).toBeDefined();
  expect(acquireLock(path)).toBeUndefined();
  first?.release();
  const second = acquireLock(path);
  expect(second).toBeDefined();
  second?.release();
});

test("is held until its release, also when nothing refers to it", async () => {
  const path = join(directory, "unreferenced.lock");
  acquireLock(path);
  // What was just allocated may still be on the stack.
  await Bun.sleep(1);
  Bun.gc(true);
  expect(acquireLock(path)).toBeUndefined();
});

test("ends with the process that held it, however that ends", async () => {
  const path = join(directory, "killed.lock");
  const module = join(import.meta.dir, "lock.ts");
  const script = `
    const { acquireLock } = await import(${JSON.stringify(module)});
    console.log(acquireLock(${JSON.stringify(path)}) !== undefined);
    setInterval(() => {}, 1_000);
  `;
  const holder = Bun.spawn([process.execPath, "--eval", script], { stdout: "pipe" });
  try {
    const { value } = await holder.stdout.getReader().read();
    expect(new TextDecoder().decode(value).trim()).toBe("true");
    expect(acquireLock(path)).toBeUndefined();
  } finally {
    holder.kill("SIGKILL");
    await holder.exited;
  }
  const next = acquireLock(path);
  expect(next).toBeDefined();
  next?.release();
});

test("throws where no file can be created", () => {
  expect(() => acquireLock(join(directory, "missing", "a.lock"))).toThrow("unable to open");
});

test("throws, and does not wait, where the file is no lock", () => {
  const path = join(directory, "rubbish.lock");
  writeFileSync(path, "rubbish".repeat(1_000));
  expect(() => acquireLock(path)).toThrow("not a database");
});

test("a database is opened once at a time, by whatever path", () => {
  const path = join(directory, "a.sqlite");
  const first = openDatabase(path);
  const link = join(directory, "link.sqlite");
  symlinkSync(path, link);
  for (const same of [path, link, join(directory, ".", "a.sqlite")]) {
    expect(() => openDatabase(same, { lockWaitMs: 0 })).toThrow(DatabaseInUse);
  }
  first.close();
  openDatabase(path).close();
});

test("a file that is not a database is not left locked", async () => {
  const path = join(directory, "garbage.sqlite");
  await Bun.write(path, "Not a database.".repeat(100));
  for (let time = 0; time < 2; time += 1) {
    expect(() => openDatabase(path, { lockWaitMs: 0 })).toThrow("not a database");
  }
});

test("a start waits for the process that used the database before to end, and says so", async () => {
  const path = join(directory, "previous.sqlite");
  const module = join(import.meta.dir, "database.ts");
  const script = `
    const { openDatabase } = await import(${JSON.stringify(module)});
    openDatabase(${JSON.stringify(path)});
    console.log("open");
    await new Promise(() => setInterval(() => {}, 1_000));
  `;
  const previous = Bun.spawn([process.execPath, "--eval", script], { stdout: "pipe" });
  await previous.stdout.getReader().read();
  const warnings: string[] = [];
  const log = {
    ...silentLogger,
    warn: (_fields: object, text: string) => {
      warnings.push(text);
      // The wait has begun: it ends with the process.
      previous.kill("SIGKILL");
    },
  };
  try {
    openDatabase(path, { log, lockWaitMs: 20_000 }).close();
  } finally {
    previous.kill("SIGKILL");
  }
  expect(warnings).toEqual(["another process uses the database: waiting"]);
});
