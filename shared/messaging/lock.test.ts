import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireLock } from "./lock.ts";

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

test("ends with the process that held it, however that ends", async () => {
  const path = join(directory, "killed.lock");
  const module = join(import.meta.dir, "lock.ts");
  const script = `
    const { acquireLock } = await import(${JSON.stringify(module)});
    console.log(acquireLock(${JSON.stringify(path)}) !== undefined);
    setInterval(() => {}, 1_000);
  `;
  const holder = Bun.spawn([process.execPath, "--eval", script], { stdout: "pipe" });
  const reader = holder.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("true\n");
  expect(acquireLock(path)).toBeUndefined();
  holder.kill("SIGKILL");
  await holder.exited;
  const next = acquireLock(path);
  expect(next).toBeDefined();
  next?.release();
});

test("throws where no file can be created", () => {
  expect(() => acquireLock(join(directory, "missing", "a.lock"))).toThrow("unable to open");
});
