import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { copyRepository } from "../testing/repository-copy.ts";

/*
 * Every script of package.json, in a copy of the repository (without SLOW_TESTS, one of them where it is): with --help and with an argument that it does not know,
 * nothing is written, no port is opened, no process is started.
 */

/** Programs of others, which read their arguments themselves: what they print and return is theirs. */
const FOREIGN: Readonly<Record<string, string>> = {
  lint: "Biome",
  typecheck: "the TypeScript compiler",
};
/** From its first argument that is no option, it is docker compose. */
const PASSES_OPERANDS_ON = "compose-all";

const { scripts }: { scripts: Readonly<Record<string, string>> } = JSON.parse(
  readFileSync(join(ROOT, "package.json"), "utf8"),
);

const LIMIT_MS = 120_000;
const RECORDER = join(ROOT, "scripts/testing/record-actions.ts");
const folder = mkdtempSync(join(tmpdir(), "every-command-"));
// Seventy processes take longer than npm test may.
const isSlow = process.env.SLOW_TESTS === "true";
const root = isSlow ? join(folder, "repository") : ROOT;
const actions = join(folder, "actions");

/** The program of a script, and its arguments: without bootstrap.sh, whose own tests are beside it. */
function commandOf(script: string): string[] {
  const match = /^exec \/bin\/sh scripts\/bootstrap\.sh (.+)$/.exec(script);
  if (match?.[1] === undefined) throw new Error(`not run by bootstrap.sh: ${script}`);
  return match[1].split(" ");
}

async function run(script: string, args: readonly string[]) {
  const home = join(folder, "home");
  mkdirSync(home, { recursive: true });
  return runToEnd([process.execPath, ...commandOf(script), ...args], {
    cwd: root,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: home,
      TMPDIR: home,
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
      BUN_OPTIONS: `--preload=${RECORDER}`,
      RECORDED_ACTIONS: actions,
    },
  });
}

/** Each file and folder with its size and the time of its last change. */
function contents(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.split("/").includes("node_modules"))
    .map((name) => {
      const { size, mtimeMs } = statSync(join(path, name), { throwIfNoEntry: false }) ?? {};
      return `${name} ${size} ${mtimeMs}`;
    })
    .sort();
}

const recorded = () => (existsSync(actions) ? readFileSync(actions, "utf8").trim().split("\n") : []);

beforeAll(async () => {
  if (!isSlow) return;
  copyRepository(root);
  const { exitCode, stderr } = await runToEnd([process.execPath, "install", "--frozen-lockfile"], {
    cwd: root,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: folder,
      TMPDIR: folder,
      BUN_INSTALL_CACHE_DIR: process.env.BUN_INSTALL_CACHE_DIR ?? join(ROOT, ".tools/bun-cache"),
    },
  });
  if (exitCode !== 0) throw new Error(stderr);
}, LIMIT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const own = Object.entries(scripts).filter(([name]) => !(name in FOREIGN));
const tested = isSlow ? own : own.filter(([name]) => name === "asyncapi");
/** What a command could change; without a copy, asyncapi writes to docs. */
const files = () => [...contents(folder), ...(isSlow ? [] : contents(join(ROOT, "docs")))];

describe("what is recorded", () => {
  test("a port, a process and a file are noticed", async () => {
    const before = contents(folder);
    const file = join(folder, "acts.ts");
    await Bun.write(
      file,
      `Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }).stop(true);
       await Bun.spawn([process.execPath, "--version"]).exited;`,
    );
    await run(`exec /bin/sh scripts/bootstrap.sh ${file}`, []);
    expect(recorded()).toEqual(["listen", "spawn"]);
    expect(contents(folder)).not.toEqual(before);
    rmSync(file);
    rmSync(actions);
  });
});

describe.each(tested)("%s", (name, script) => {
  test(
    "--help prints its usage and does nothing",
    async () => {
      const before = files();
      const { exitCode, stdout, stderr } = await run(script, ["--help"]);
      expect([exitCode, stderr]).toEqual([0, ""]);
      expect(stdout.trim().split("\n").length).toBeGreaterThan(1);
      expect(recorded()).toEqual([]);
      expect(files()).toEqual(before);
    },
    LIMIT_MS,
  );

  // Some take one.
  const operands = ["no-such-argument", "no-such-argument-2"];
  test.each([["--no-such-option"], ...(name === PASSES_OPERANDS_ON ? [] : [operands])])(
    "refuses %s and does nothing",
    async (...args) => {
      const before = files();
      const { exitCode, stdout, stderr } = await run(script, args);
      expect([exitCode, stdout]).toEqual([2, ""]);
      const lines = stderr.trim().split("\n");
      expect(lines.filter((line) => !/no-such-.*--help/.test(line))).toEqual([]);
      expect(recorded()).toEqual([]);
      expect(files()).toEqual(before);
    },
    LIMIT_MS,
  );
});

test("only programs of others are left out", () => {
  const foreign = Object.entries(scripts).filter(([, script]) =>
    commandOf(script)[0]?.startsWith("node_modules/"),
  );
  expect(foreign.map(([name]) => name)).toEqual(Object.keys(FOREIGN));
});
