import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { chromium, kcat, provideTools } from "@distributed-messaging/e2e/support/test-tools";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { countTests } from "./test/summary.ts";

/**
 * `npm test [-- arguments of bun test]`: installs the tools that tests need, runs the tests, and prints
 * `N passed, N failed, N skipped` as the last line. The exit code is 0 only if tests ran and none failed.
 *
 * With `--running` as the first argument, the end-to-end tests use a running store instead of starting their own.
 */

/**
 * How many test files run in parallel. Two more than there are cores, because most tests wait more than they compute;
 * at most four, because a store is five processes, and a browser several more.
 */
const WORKERS = Math.min(availableParallelism() + 2, 4);

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

async function runTests(args: readonly string[], env: Record<string, string>) {
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
  for await (const chunk of child.stderr) {
    process.stderr.write(chunk);
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-TAIL_LENGTH);
  }
  return { output: tail, exitCode: await child.exited };
}

const [first, ...rest] = process.argv.slice(2);
const running = first === "--running";
const args = running || first === undefined ? rest : [first, ...rest];
// Test files that share a running store run one after the other.
if (!running) args.unshift(`--parallel=${WORKERS}`);

const tools = await provideTools([chromium, kcat], process.env, say);
const env: Record<string, string> = running ? { E2E_RUNNING: "true" } : {};
for (const { tool, path } of tools) if (path !== undefined) env[tool.setting] = path;

const { output, exitCode } = await runTests(args, env);
const { passed, failed, skipped } = countTests(output, exitCode);

const missing = tools.filter(({ path }) => path === undefined);
for (const { tool, problem } of missing)
  say(`${tool.title} is missing (${problem}): skipped ${tool.neededBy}`);
if (passed + failed === 0) say("no test was run");
process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
