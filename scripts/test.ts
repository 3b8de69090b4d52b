import { existsSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { provideTools, testTools } from "@distributed-messaging/e2e/support/test-tools";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { parseOptions, runCommand, UsageError, wholeNumber } from "./command/command.ts";
import { Progress } from "./command/progress.ts";
import { countTests, FileCount } from "./test/summary.ts";

const USAGE = `usage: npm test -- [PATH…] [options of bun test]
       bun run test-e2e-local

Installs the tools that tests need, runs the tests, and prints "N passed, N failed, N skipped" as the last line. The exit
code is 0 only if tests ran and none failed. SLOW_TESTS=true runs the slow tests, too.

  PATH        a test file, a folder of them, or a part of their names
  --running   the end-to-end tests use the store that runs, and start none of their own: test-e2e-local

Of the options of bun test: -t PATTERN (--test-name-pattern), -u (--update-snapshots), --bail=N, --coverage,
--max-concurrency=N, --only, --only-failures, --parallel=N, --randomize, --reporter=junit --reporter-outfile=FILE,
--rerun-each=N, --retry=N, --seed=N, --shard=I/N, --timeout=MS, --todo.`;

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

const options = {
  running: flag,
  bail: text,
  coverage: flag,
  "max-concurrency": text,
  only: flag,
  "only-failures": flag,
  parallel: text,
  randomize: flag,
  reporter: text,
  "reporter-outfile": text,
  "rerun-each": text,
  retry: text,
  seed: text,
  shard: text,
  "test-name-pattern": { type: "string", short: "t" },
  timeout: text,
  todo: flag,
  "update-snapshots": { type: "boolean", short: "u" },
} as const;

/** Those of bun test whose value is a whole number. */
const COUNTS = ["bail", "max-concurrency", "parallel", "rerun-each", "retry", "seed", "timeout"] as const;

/**
 * How many test files run in parallel. Two more than there are cores, because most tests wait more than they compute, and
 * one more with the slow tests, which compute; at most four, because a store is five processes, and a browser several more.
 */
const WORKERS = Math.min(availableParallelism() + (process.env.SLOW_TESTS === "true" ? 1 : 2), 4);

/**
 * Ends a test that hangs. Longer than `eventually` waits, whose error says for what; tests that start many processes
 * set their own.
 */
const TEST_TIMEOUT_MS = 60_000;
/** The end of the output, which has the summary. */
const TAIL_LENGTH = 8 * 1024;

const say = (line: string) => void process.stderr.write(`test: ${line}\n`);

/** The home of the processes that tests start, such as browsers, which write profiles there. */
function testHome(): string {
  const home = join(ROOT, ".tools/home");
  mkdirSync(home, { recursive: true });
  return home;
}

/** @param files how many test files there are */
async function runTests(args: readonly string[], files: number, env: Record<string, string>) {
  const terminal = process.stderr.isTTY === true && !process.env.NO_COLOR;
  const child = Bun.spawn([process.execPath, "test", `--timeout=${TEST_TIMEOUT_MS}`, ...args], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
    env: { ...process.env, HOME: testHome(), ...(terminal ? { FORCE_COLOR: "1" } : {}), ...env },
  });
  const passOn = (signal: NodeJS.Signals) => () => child.kill(signal);
  process.on("SIGINT", passOn("SIGINT"));
  process.on("SIGTERM", passOn("SIGTERM"));
  const decoder = new TextDecoder();
  let tail = "";
  const progress = new Progress();
  const begun = new FileCount();
  for await (const chunk of child.stderr) {
    const text = decoder.decode(chunk, { stream: true });
    progress.clear();
    process.stderr.write(chunk);
    tail = (tail + text).slice(-TAIL_LENGTH);
    const count = begun.add(text);
    // In the middle of a line, nothing of ours is written.
    if (text.endsWith("\n")) progress.show(`test: ${count} of ${files} files`, count, files);
  }
  progress.clear();
  return { output: tail, exitCode: await child.exited };
}

const testFiles = [
  ...new Bun.Glob("{e2e,redpanda,scripts,services,shared}/**/*.test.{ts,tsx}").scanSync({ cwd: ROOT }),
].filter((file) => !file.includes("node_modules/"));

/** The test files of which this is the path, or a part of it. */
const selectedBy = (path: string) => testFiles.filter((file) => file.includes(path.replace(/^\.\//, "")));

/** Whether it is a path, or a part of the path of a test file. */
function selectsTests(path: string): boolean {
  return existsSync(join(ROOT, path)) || selectedBy(path).length > 0;
}

await runCommand("test", USAGE, async (given) => {
  const { values, positionals } = parseOptions(given, options, Number.POSITIVE_INFINITY);
  const unknown = positionals.find((path) => !selectsTests(path));
  if (unknown !== undefined) throw new UsageError(`no test file has '${unknown}' in its path`);
  for (const name of COUNTS) {
    const value = values[name];
    if (value !== undefined) wholeNumber(`--${name}`, value);
  }
  const args = given.filter((arg) => arg !== "--running");
  // Test files that share a running store run one after the other.
  if (!values.running) args.unshift(`--parallel=${WORKERS}`);

  const tools = await provideTools(testTools, process.env, say);
  const env: Record<string, string> = values.running ? { E2E_RUNNING: "true" } : {};
  for (const { tool, path } of tools) if (path !== undefined) env[tool.setting] = path;

  const files = positionals.length === 0 ? testFiles : positionals.flatMap(selectedBy);
  const { output, exitCode } = await runTests(args, new Set(files).size, env);
  const { passed, failed, skipped } = countTests(output, exitCode);

  const missing = tools.filter(({ path }) => path === undefined);
  for (const { tool, problem } of missing) {
    say(`${tool.title} is missing (${problem}): skipped ${tool.neededBy}`);
  }
  if (passed + failed === 0) say("no test was run");
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  return failed > 0 || passed === 0 ? 1 : 0;
});
