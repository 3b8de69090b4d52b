import { runCommand } from "./command.ts";
import { compose, requireDocker } from "./docker.ts";
import { serviceNames, services } from "./store.ts";

/**
 * `bun run compose-all`: builds and starts everything of compose.yaml and waits until it is healthy. With
 * arguments it is `docker compose` with the project's file: `bun run compose-all down`.
 */
async function main(): Promise<number> {
  await requireDocker("compose-all");
  const args = process.argv.slice(2);
  if (args.length > 0) return compose(...args);
  const exitCode = await compose("up", "--build", "--detach", "--wait");
  if (exitCode !== 0) return exitCode;
  const rows = serviceNames.map((name) => `  ${name.padEnd(16)} http://127.0.0.1:${services[name].port}`);
  console.log(["", "ready", "", ...rows, "  Redpanda Console http://127.0.0.1:8080", ""].join("\n"));
  console.log("bun run compose-all logs -f   shows what they say\nbun run compose-all down      stops them");
  return 0;
}

await runCommand("compose-all", main);
