import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { chromium, kcat, provideTools } from "@distributed-messaging/e2e/support/test-tools";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { countTests } from "./test/summary.ts";

/**
 * `npm test [-- bun test's own arguments]`: gets what the tests need, runs them, and ends with the line
 * `N passed, N failed, N skipped`. The exit code is 0 only if tests ran and none failed.
 *
 * With `--running` first, end-to-end tests do not start a store of their own but use the one that runs.
 */

/**
 * Test files that run side by side: each has processes, ports and directories of its own. One more than there are cores,
 * because most of them wait more than they compute; not many, because a store is five processes and a browser more.
 */
const WORKERS = Math.min(availableParallelism() + 1, 4);

/** Enough for a test that starts processes on a slow machine; tests that need more say so. */
const TEST_TIMEOUT_MS = 20_000;
/** The summary is a few lines long. */
const TAIL_LENGTH = 8 * 1024;

const say = (line: string) => void process.stderr.write(`test: ${line}\n`);

/** What the tests start writes its own things, such as a browser's profile, here and not into the user's home. */
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
// Those that share the store which runs take turns.
if (!running) args.unshift(`--parallel=${WORKERS}`);

const tools = await provideTools([chromium, kcat], process.env, say);
const env: Record<string, string> = running ? { E2E_RUNNING: "true" } : {};
for (const { tool, path } of tools) if (path !== undefined) env[tool.setting] = path;

const { output, exitCode } = await runTests(args, env);
const { passed, failed, skipped } = countTests(output, exitCode);

const missing = tools.filter(({ path }) => path === undefined);
for (const { tool, problem } of missing)
  say(`${tool.title} is missing (${problem}): skipped ${tool.neededBy}`);
if (passed + failed === 0) say("no test ran");
process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
