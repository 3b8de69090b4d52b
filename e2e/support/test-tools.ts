import { existsSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorText } from "@distributed-messaging/messaging";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** A program that some tests need and that is not an npm package. */
export interface TestTool {
  readonly title: string;
  /** The environment variable with its path, set by the user or for the tests. */
  readonly setting: string;
  readonly names: readonly string[];
  readonly versionArgument: string;
  /** Its Debian and Ubuntu package. */
  readonly debianPackage: string;
  /** The tests that are skipped without it. */
  readonly neededBy: string;
  /** Downloads it into the project. Resolves to its path. */
  readonly download?: () => Promise<string>;
}

interface FoundTool {
  readonly tool: TestTool;
  readonly path: string | undefined;
  /** Why it is missing, in one line. */
  readonly problem?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const BROWSERS = join(ROOT, ".tools/browsers");
/** Enough for a download on a slow line. */
const INSTALL_TIMEOUT_MS = 10 * 60_000;
const VERSION_TIMEOUT_MS = 20_000;

export const chromium: TestTool = {
  title: "Chromium",
  setting: "CHROMIUM_PATH",
  names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
  versionArgument: "--version",
  debianPackage: "chromium",
  neededBy: "the browser tests",
  download: downloadChromium,
};

export const kcat: TestTool = {
  title: "kcat",
  setting: "KCAT_PATH",
  names: ["kcat"],
  versionArgument: "-V",
  debianPackage: "kcat",
  neededBy: "the tests with librdkafka",
};

export const prometheus: TestTool = {
  title: "Prometheus",
  setting: "PROMETHEUS_PATH",
  names: ["prometheus"],
  versionArgument: "--version",
  debianPackage: "prometheus",
  neededBy: "the tests with a real Prometheus",
};

/** Checks metrics and rules. */
export const promtool: TestTool = {
  title: "promtool",
  setting: "PROMTOOL_PATH",
  names: ["promtool"],
  versionArgument: "--version",
  debianPackage: "prometheus",
  neededBy: "the checks of metrics, alerts and dashboards",
};

export const alertmanager: TestTool = {
  title: "Alertmanager",
  setting: "ALERTMANAGER_PATH",
  names: ["prometheus-alertmanager", "alertmanager"],
  versionArgument: "--version",
  debianPackage: "prometheus-alertmanager",
  neededBy: "the tests with a real Alertmanager",
};

export const haproxy: TestTool = {
  title: "HAProxy",
  setting: "HAPROXY_PATH",
  names: ["haproxy"],
  versionArgument: "-v",
  debianPackage: "haproxy",
  neededBy: "the tests of the proxy in front of several instances",
};

/** Those that the tests are given, each by its setting. */
export const testTools: readonly TestTool[] = [chromium, kcat, prometheus, promtool, alertmanager, haproxy];

/**
 * Finds the tools and installs missing ones where possible: as root from Debian packages, otherwise by a download into
 * the project. Never throws.
 *
 * @param report called with a line about each step that takes time
 */
export async function provideTools(
  tools: readonly TestTool[],
  env: Environment,
  report: (line: string) => void,
): Promise<FoundTool[]> {
  const found = await Promise.all(tools.map((tool) => findTool(tool, env)));
  const missing = found.filter(({ path }) => path === undefined).map(({ tool }) => tool);
  if (missing.length === 0) return found;
  let aptProblem: string | undefined;
  const aptGet = Bun.which("apt-get", path(env));
  if (aptGet !== null && process.getuid?.() === 0) {
    report(`installing ${missing.map(({ title }) => title).join(" and ")} (Debian packages)`);
    const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))];
    aptProblem = await aptInstall(aptGet, packages);
  }
  return Promise.all(
    found.map(async (tool) =>
      tool.path === undefined ? provideOne(tool.tool, env, report, aptProblem) : tool,
    ),
  );
}

/** Finds a tool by its setting, on PATH, or among the downloads. One that does not run is not found. */
export async function findTool(tool: TestTool, env: Environment): Promise<FoundTool> {
  const named = env[tool.setting]?.trim();
  const onPath = tool.names.flatMap((name) => Bun.which(name, path(env)) ?? []);
  for (const candidate of named ? [named] : [...onPath, ...(tool === chromium ? downloadedChromium() : [])]) {
    if ((await run([candidate, tool.versionArgument], VERSION_TIMEOUT_MS)) === undefined) {
      return { tool, path: candidate };
    }
  }
  return {
    tool,
    path: undefined,
    problem: named ? `${tool.setting}=${named} does not run` : "not installed",
  };
}

async function provideOne(
  tool: TestTool,
  env: Environment,
  report: (line: string) => void,
  aptProblem: string | undefined,
): Promise<FoundTool> {
  const found = await findTool(tool, env);
  if (found.path !== undefined || env[tool.setting]?.trim()) return found;
  const reason = aptProblem ?? "not installed, and only root can install Debian's package";
  if (tool.download === undefined) return { ...found, problem: reason };
  try {
    report(`downloading ${tool.title} into .tools`);
    return { tool, path: await tool.download() };
  } catch (error) {
    return { ...found, problem: `${reason}; ${errorText(error)}` };
  }
}

/** @returns why it failed; `undefined` on success */
async function aptInstall(aptGet: string, packages: readonly string[]): Promise<string | undefined> {
  const apt = [aptGet, "-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=1"];
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  // The installation may succeed with an old package list.
  await run([...apt, "update"], INSTALL_TIMEOUT_MS, env);
  return run([...apt, "install", "-y", "--no-install-recommends", ...packages], INSTALL_TIMEOUT_MS, env);
}

async function downloadChromium(): Promise<string> {
  const cli = join(ROOT, "node_modules/playwright-core/cli.js");
  const problem = await run(
    [process.execPath, cli, "install", "chromium", "--no-shell"],
    INSTALL_TIMEOUT_MS,
    {
      PLAYWRIGHT_BROWSERS_PATH: BROWSERS,
    },
  );
  if (problem !== undefined) throw new Error(problem);
  const [downloaded] = downloadedChromium();
  if (downloaded === undefined) throw new Error("Playwright has no browser for this machine");
  const runs = await run([downloaded, "--version"], VERSION_TIMEOUT_MS);
  if (runs !== undefined) throw new Error(`Playwright's browser does not run: ${runs}`);
  return downloaded;
}

function downloadedChromium(): string[] {
  if (!existsSync(BROWSERS)) return [];
  const names = "chromium-*/*/{chrome,Chromium.app/Contents/MacOS/Chromium}";
  return [...new Bun.Glob(names).scanSync({ cwd: BROWSERS, absolute: true })];
}

/** Runs a command to its end. @returns the line with the reason of its failure; `undefined` on success */
async function run(command: string[], timeout: number, env: Environment = {}): Promise<string | undefined> {
  // Not a pipe: a process that the command leaves in the background would keep it open.
  const log = join(tmpdir(), `test-tools-${crypto.randomUUID()}.log`);
  try {
    const stdout = Bun.file(log);
    const child = Bun.spawn(["/bin/sh", "-c", 'exec "$@" 2>&1', "run", ...command], {
      stdin: "ignore",
      stdout,
      stderr: "ignore",
      timeout,
      env: { ...process.env, ...env },
    });
    const code = await child.exited;
    if (code === 0) return undefined;
    const how = `${command[0]} ended with ${child.signalCode ?? `exit code ${code}`}`;
    return reasonIn(readFileSync(log, "utf8")) ?? how;
  } catch (error) {
    return errorText(error);
  } finally {
    rmSync(log, { force: true });
  }
}

function reasonIn(output: string): string | undefined {
  const lines = output.split("\n").map((line) => line.trim());
  return (lines.find((line) => /^(E:|Error:)/.test(line)) ?? lines.findLast((line) => line !== ""))?.slice(
    0,
    200,
  );
}

function path(env: Environment) {
  return { PATH: env.PATH ?? "" };
}
