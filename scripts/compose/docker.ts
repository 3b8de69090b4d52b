import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { CommandFailed } from "../command/command.ts";

const COMPOSE_FILE = join(ROOT, "compose.yaml");

/** Where compose.yaml publishes the broker of its single-node set-up on this machine. */
export const COMPOSE_BROKERS = "localhost:9092";

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

/** Runs `docker compose` with the project's file, its output shown. Resolves to its exit code. */
export function compose(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  return Bun.spawn(["docker", "compose", "--file", COMPOSE_FILE, ...args], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  }).exited;
}

function exitCode(command: string[]): Promise<number> {
  return Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
}
