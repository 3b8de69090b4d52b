import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { parseSigningKey } from "@distributed-messaging/service/signing-key";
import { ROOT } from "@distributed-messaging/supervisor/store";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signing-key-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const run = (...args: readonly string[]) =>
  runToEnd([process.execPath, join(ROOT, "scripts/signing-key.ts"), ...args], { cwd: folder, env: {} });

test("of several at the same time one creates the key, which only its owner reads, and later ones keep it", async () => {
  const file = join(folder, "key.jwk");
  const runs = await Promise.all([run(file), run(file)]);
  expect(runs.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual([
    [0, ""],
    [0, ""],
  ]);
  const text = readFileSync(file, "utf8");
  expect(parseSigningKey(text).keyId).not.toBe("");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect((await run(file)).exitCode).toBe(0);
  expect(readFileSync(file, "utf8")).toBe(text);
});

test("a wrong call and a folder that is not there are one line each", async () => {
  expect(await run()).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("signing-key: expected a file"),
  });
  const nowhere = join(folder, "none/key.jwk");
  const failed = await run(nowhere);
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toMatch(/^signing-key: \S+none\/key\.jwk cannot be created: .*\n$/);
});
