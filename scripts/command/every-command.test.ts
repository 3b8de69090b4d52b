import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { copyRepository } from "@distributed-messaging/e2e/support/repository-copy";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { ROOT } from "@distributed-messaging/supervisor/store";

/*
 * Every script of package.json, in a copy of the repository (without SLOW_TESTS, one of them where it is): with --help, and
 * with arguments that are unknown, missing or wrong, nothing is written, no port is opened, no process is started.
 */

/** Programs of others, which read their arguments themselves: what they print and return is theirs. */
const FOREIGN: Readonly<Record<string, string>> = {
  lint: "Biome",
  typecheck: "the TypeScript compiler",
};
/** From its first argument that is no option, it is docker compose. */
const PASSES_OPERANDS_ON = "compose-all";

const parked = (filter: string, other: string, remove: string) => `
  (nothing); list 1; list --service orders; list --${other} a; list --after x; list --limit 0;
  show --service order; show x --service order; show 1; show 1 2 --service order;
  retry --service order; retry 1 --${filter} a --service order; ${remove} 1 --service order`;
/** Calls in which an argument is missing, or has a wrong value. */
const WRONG_CALLS: Readonly<Record<string, string>> = {
  start: "--broker kafka; --broker; --replicas 0",
  test: "--timeout soon; --retry",
  "test-e2e-local": "--timeout soon",
  "start-kafka-broker": `--port http; --port; --advertised here; --topic letters:0; --log-level loud;
    --in-memory --data-dir here; --in-memory=yes`,
  "post-order":
    "(nothing); MINE; MINE --item PRODUCT_001; MINE --item PRODUCT_001=x; ORDER_001 --gateway here",
  "post-order-1": "--item PRODUCT_001; --gateway here",
  "post-order-2": "--item PRODUCT_001; --gateway here",
  bench: `--rounds 0; --orders 10; --at-once x; --rates 50,x; --seconds 1.5; --outage 0; --arriving 0;
    --history 0; --records x; --waiting 1; --takeovers 0; --json no-such-folder/file; --save no-such-folder`,
  "bench-broker": "--rounds 0; --records x",
  chaos: "--minutes 0; --minutes x; --rate 0; --seed x; --replicas 0; --kafka x",
  screenshots: "--view shop; --all --view no-such-view; --all --recording; package.json",
  "dead-letters": `(nothing); list 1; list --service orders; list --reason bad; list --older-than soon;
    list --after x; list --limit 0; show --service order; show x --service order; show 1; show 1 2 --service order;
    replay --service order; replay 1 --key a --service order; edit 1 --service order;
    discard 1 --service order; discard 1 --reason because --service all`,
  partitions: `(nothing); list x; list --service orders; topics; topics x --service order; show --service order;
    show letters/1; skip letters/1 --service order; skip letters --reason because --service order;
    skip letters/1 --offset x --reason because --service order`,
  effects: parked("name", "topic", "discard"),
  outbox: parked("topic", "name", "drop"),
  doctor: "--principal x; --principal; --production=yes; --instances A; --instances",
  keys: "(nothing); list x; rotate x; withdraw; withdraw x",
  rebuild: "(nothing); --service; --service orders",
  owner: "(nothing); list x; take-over; take-over orders; take-over order inventory; give-up order",
  backup: "(nothing); --to; orders --to here",
  recover: "(nothing); orders; order inventory; order --apply=yes; order --dry-run",
  restore: "(nothing); order; orders --from here; order inventory --from here; order --from",
  "new-service": "(nothing); Shipping; order",
  "test-kafka-clients": "no-such-client",
  "crash-broker": "--rounds 0",
  "soak-broker": "--minutes 0; --rate 0",
  "fuzz-requests": "--requests 0",
  sbom: "--output no-such-folder/file; --output",
  simulate: `--seeds 0; --from x; --orders 0; --replicas 0; --workers 0; --without no-such-fault;
    --take-away no-such-mutant`,
  access: "(nothing); print --tool x; apply --tool x; print --principal x; print --instances 0,,1",
};
const wrongCalls = (name: string) =>
  (WRONG_CALLS[name] ?? "").split(";").flatMap((call) => (call.trim() === "" ? [] : [call.trim()]));

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
afterEach(() => rmSync(actions, { force: true }));
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
      // What takes a value is tried with a wrong one.
      if (!(name in WRONG_CALLS)) expect(stdout).not.toMatch(/^usage: .*(<| [A-Z])|--[a-z-]+ [A-Z]/);
      expect(recorded()).toEqual([]);
      expect(files()).toEqual(before);
    },
    LIMIT_MS,
  );

  const unknown = name === PASSES_OPERANDS_ON ? [] : ["no-such-argument no-such-argument-2"];
  test.each(["--no-such-option", ...unknown, ...wrongCalls(name)])(
    "refuses '%s' and does nothing",
    async (call) => {
      const before = files();
      const { exitCode, stdout, stderr } = await run(script, call === "(nothing)" ? [] : call.split(" "));
      expect([exitCode, stdout]).toEqual([2, ""]);
      const lines = stderr.trim().split("\n");
      expect(lines.filter((line) => !/^[\w-]+: ./.test(line))).toEqual([]);
      if (call.includes("no-such-")) expect(stderr).toContain("no-such-");
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
