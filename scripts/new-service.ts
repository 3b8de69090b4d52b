import { serviceNames, services } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { planService, writeService } from "./new-service/create.ts";

const USAGE = `usage: bun run new-service NAME

  Writes a service to services/NAME and registers it: in services/registry.ts, package.json, bun.lock, compose.yaml,
  compose.brokers.yaml, deploy/kubernetes/base, deploy/observe/prometheus.yaml, docs/commands.md, docs/metrics.md and docs/operations.md (its rights on the broker).
  It runs, its tests pass, and it keeps one task for each confirmed order. docs/a-fifth-service.md explains each of its
  files and how to change them. No file is overwritten.

  NAME   lower-case letters, digits and hyphens: shipping
`;

await runCommand("new-service", USAGE, async (args) => {
  const [name] = parseOptions(args, {}, 1).positionals;
  if (name === undefined) throw new UsageError("expected the name of the service");
  const plan = planService({ name, port: freePort() }, ROOT);
  writeService(name, ROOT, plan);
  const written = [...plan.keys()].filter((path) => /\.(ts|json|md|yaml)$/.test(path));
  await run("the dependencies are not linked", ["install", "--frozen-lockfile"]);
  await run("the files are not formatted", [
    "node_modules/@biomejs/biome/bin/biome",
    "check",
    "--write",
    ...written,
  ]);
  await run("docs/asyncapi.json is not generated", ["scripts/asyncapi.ts"]);
  await run("docs/settings.md is not generated", ["scripts/settings.ts"]);
  for (const path of plan.keys()) console.log(path);
  console.log(`docs/asyncapi.json
docs/settings.md

next:
  bun test services/${name}         runs its tests
  npm start                         runs it with the store
  docs/a-fifth-service.md           explains its files`);
  return 0;
});

/** The first port above those of the services that no process has by default. */
function freePort(): number {
  const { ports, supervisorPort } = readSettings({});
  const taken = [...Object.values(ports), supervisorPort];
  let port = Math.max(...serviceNames.map((name) => services[name].port)) + 1;
  while (taken.includes(port)) port += 1;
  return port;
}

/** Runs Bun in the repository. @throws CommandFailed with its output */
async function run(failure: string, args: readonly string[]): Promise<void> {
  const child = Bun.spawn([process.execPath, ...args], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new CommandFailed(`${failure}:\n${output.join("").trim()}`);
}
