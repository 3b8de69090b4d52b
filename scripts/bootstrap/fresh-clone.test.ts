import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyRepository } from "@distributed-messaging/e2e/support/repository-copy";
import { testTools } from "@distributed-messaging/e2e/support/test-tools";
import { StoreProcess, StoreSettings } from "../testing/store-process.ts";
import { registryOf } from "./registry.ts";

/*
 * The first steps of a new user, on a machine with npm and without Bun, and on one with Bun and without npm. Each test
 * downloads everything: they run only with SLOW_TESTS=true, as in continuous integration.
 */

const TIMEOUT_MS = 10 * 60_000;
const slow = process.env.SLOW_TESTS === "true";

const folder = mkdtempSync(join(tmpdir(), "fresh-clone-"));
// The folders have many small files.
afterAll(() => rmSync(folder, { recursive: true, force: true }), TIMEOUT_MS);

function directoryOf(name: string, programs: Readonly<Record<string, string | null>>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [program, target] of Object.entries(programs))
    if (target !== null) symlinkSync(target, join(path, program));
  return path;
}

async function startAndTest(name: string, path: string, run: readonly string[]): Promise<void> {
  // With a space in its path.
  const root = join(folder, `${name} clone`);
  copyRepository(root);
  const home = join(folder, `${name} home`);
  mkdirSync(home);
  const settings = new StoreSettings({ HOME: home, PATH: path, ...(await registryOf(Bun.which("npm"))) });
  try {
    const store = new StoreProcess([...run, "start"], root, settings.env);
    await store.line(/^ready in \d/);
    store.signal("SIGTERM");
    await store.exited;
    // One quick test file is enough: the others are run by the run that this test is part of.
    const tools = Object.fromEntries(testTools.map(({ setting }) => [setting, "/nowhere"]));
    const command = [...run, "test", "--", "services/supervisor/ports"];
    const tests = new StoreProcess(command, root, { ...settings.env, ...tools });
    expect([await tests.exited, tests.lines.at(-1)]).toEqual([
      0,
      expect.stringMatching(/^[1-9]\d* passed, 0 failed, 0 skipped$/),
    ]);
    expect(readdirSync(home)).toEqual([]);
  } finally {
    settings.remove();
  }
}

test.skipIf(!slow || Bun.which("npm") === null || Bun.which("node") === null)(
  "npm and no Bun",
  async () => {
    const path = directoryOf("npm", { npm: Bun.which("npm"), node: Bun.which("node"), sh: "/bin/sh" });
    await startAndTest("npm", path, [join(path, "npm")]);
  },
  TIMEOUT_MS,
);

test.skipIf(!slow)(
  "Bun, neither npm nor node",
  async () => {
    const path = directoryOf("bun", { bun: process.execPath });
    await startAndTest("bun", path, [join(path, "bun"), "run"]);
  },
  TIMEOUT_MS,
);
