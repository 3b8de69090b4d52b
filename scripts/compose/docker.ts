import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { CommandFailed } from "../command/command.ts";

const COMPOSE_FILE = join(ROOT, "compose.yaml");

/** Where compose.yaml publishes the broker of its single-node set-up on this machine. */
export const COMPOSE_BROKERS = "localhost:9092";
/** Where compose.yaml publishes Redpanda Console on this machine. */
export const CONSOLE = "http://127.0.0.1:8080";
/** Its image has no program for a health check in the container, and it starts within seconds. */
const CONSOLE_WAIT_MS = 30_000;

/**
 * Makes sure that containers can be run from compose.yaml.
 *
 * @param what is asked for, the beginning of the message
 * @throws CommandFailed naming the part that is missing
 */
export async function requireDocker(what = ""): Promise<void> {
  const needs = `${what} needs`.trim();
  if (Bun.which("docker") === null) {
    throw new CommandFailed(`${needs} Docker, and there is no docker command on PATH`);
  }
  if ((await exitCode(["docker", "compose", "version"])) !== 0) {
    throw new CommandFailed(`${needs} Docker Compose 2, and this docker has no compose command`);
  }
  if ((await exitCode(["docker", "info"])) !== 0) {
    throw new CommandFailed(
      `${needs} a Docker engine, and none answers (is it running, may this user use it?)`,
    );
  }
}

/** Waits until Redpanda Console answers, for half a minute. @returns whether it does */
export async function consoleAnswers(): Promise<boolean> {
  const deadline = performance.now() + CONSOLE_WAIT_MS;
  do {
    const answer = await fetch(`${CONSOLE}/admin/health`, { signal: AbortSignal.timeout(2_000) }).catch(
      () => undefined,
    );
    if (answer?.ok) return true;
    await Bun.sleep(500);
  } while (performance.now() < deadline);
  return false;
}

/** Runs `docker compose` with the project's file, its output shown. Resolves to its exit code. */
export function compose(args: readonly string[]): Promise<number> {
  return Bun.spawn(["docker", "compose", "--file", COMPOSE_FILE, ...args], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  }).exited;
}

function exitCode(command: string[]): Promise<number> {
  return Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
}
