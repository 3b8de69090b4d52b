import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { CommandFailed, UsageError } from "../command/command.ts";

export interface NewService {
  readonly name: string;
  /** Its HTTP port when nothing is set. */
  readonly port: number;
}

const TEMPLATE = join(import.meta.dir, "template");
const TEMPLATE_PORT = "8999";
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const MAX_NAME_CHARACTERS = 30;
/** The names of other processes, containers and manifests, and of the template. */
const RESERVED = [
  ...["broker", "console", "provision", "proxy", "redpanda", "signing-key", "supervisor", "template"],
  ...serviceNames.flatMap((name) => [`${name}-2`, `${name}-instances`, `${name}-shared`]),
  ...["kustomization", "network-policy", "service-patch"],
];

/**
 * The files of a new service, and those that register it with their new text, by their path from the root. Writes
 * nothing.
 *
 * @param root the folder of the repository
 * @throws UsageError when the name cannot be used; CommandFailed when a file that registers services does not look as expected
 */
export function planService({ name, port }: NewService, root: string): Map<string, string> {
  refuseName(name, root);
  const edit = (path: string, change: (text: string) => string) =>
    [path, change(readFileSync(join(root, path), "utf8"))] as const;
  return new Map([
    ...templateFiles(name, port),
    edit("services/registry.ts", (text) => inRegistry(text, name, port)),
    edit("package.json", (text) => inPackageJson(text, name)),
    edit("bun.lock", (text) => inLockFile(text, name)),
    edit("compose.yaml", (text) => inCompose(text, name, port)),
    edit("compose.brokers.yaml", (text) => inOwnBrokers(text, name)),
    [`deploy/kubernetes/base/${name}.yaml`, manifestsOf(name, port, root)],
    edit("deploy/kubernetes/base/kustomization.yaml", (text) =>
      insertBefore(text, "\npatches:\n", `  - ${name}.yaml\n`, "deploy/kubernetes/base/kustomization.yaml"),
    ),
    edit("deploy/observe/prometheus.yaml", (text) => inPrometheus(text, name, port)),
    edit("docs/operations.md", (text) => inAccessControl(text, name)),
    edit("docs/commands.md", (text) => inCommands(text, name)),
    edit("docs/metrics.md", (text) => inMetrics(text, name)),
  ]);
}

/** Writes what `planService` returned. @throws when a file of the new service exists; it is not overwritten */
export function writeService(name: string, root: string, plan: ReadonlyMap<string, string>): void {
  for (const [path, text] of plan) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { flag: path.startsWith(`services/${name}/`) ? "wx" : "w" });
  }
}

function refuseName(name: string, root: string): void {
  if (!NAME.test(name) || name.length > MAX_NAME_CHARACTERS) {
    throw new UsageError(
      `'${name}': expected lower-case letters, digits and single hyphens, a letter first, at most ${MAX_NAME_CHARACTERS} characters`,
    );
  }
  const packages = readFileSync(join(root, "bun.lock"), "utf8");
  if (RESERVED.includes(name) || packages.includes(`"${packageName(name)}@workspace:`)) {
    throw new UsageError(`the name ${name} is taken`);
  }
  const folder = join("services", name);
  if (existsSync(join(root, folder))) throw new UsageError(`${folder} exists, and no file is overwritten`);
}

function packageName(name: string): string {
  return `@distributed-messaging/${name}`;
}

/** The template with the names of the service in place of its own. */
function templateFiles(name: string, port: number): [string, string][] {
  const pascal = name.replace(/(?:^|-)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const camel = pascal.charAt(0).toLowerCase() + pascal.slice(1);
  const named = (text: string) =>
    text
      .replaceAll(TEMPLATE_PORT, String(port))
      .replaceAll("TEMPLATE", name.toUpperCase().replaceAll("-", "_"))
      .replaceAll("Template", pascal)
      .replaceAll(/template(?=[A-Z])/g, camel)
      .replaceAll("template", name);
  return [...new Bun.Glob("**/*").scanSync({ cwd: TEMPLATE })]
    .sort()
    .map((path) => [`services/${name}/${named(path)}`, named(readFileSync(join(TEMPLATE, path), "utf8"))]);
}

function inRegistry(text: string, name: string, port: number): string {
  const setting = `${name.toUpperCase().replaceAll("-", "_")}_PORT`;
  const key = name.includes("-") ? `"${name}"` : name;
  const entry = `  ${key}: { setting: "${setting}", port: ${port}, load: () => import("./${name}/service.ts") },\n`;
  return insertBefore(text, "} as const satisfies", entry, "services/registry.ts");
}

function inPackageJson(text: string, name: string): string {
  const manifest: { scripts: Record<string, string> } = JSON.parse(text);
  const scripts = Object.entries(manifest.scripts);
  const last = scripts.findLastIndex(([script]) => script.startsWith("start-service-"));
  const added = [
    `start-service-${name}`,
    `exec /bin/sh scripts/bootstrap.sh services/${name}/main.ts`,
  ] as const;
  return `${JSON.stringify({ ...manifest, scripts: Object.fromEntries(scripts.toSpliced(last + 1, 0, [...added])) }, null, 2)}\n`;
}

/**
 * Adds a workspace to the lock file. Its dependencies are in there already, so that this needs no registry, as
 * `bun install` does for a new workspace.
 */
function inLockFile(text: string, name: string): string {
  const manifest: { version: string; dependencies: Record<string, string> } = JSON.parse(
    readFileSync(join(TEMPLATE, "package.json"), "utf8"),
  );
  const dependencies = Object.entries(manifest.dependencies).map(
    ([dependency, version]) => `        "${dependency}": "${version}",\n`,
  );
  const workspace =
    `    "services/${name}": {\n      "name": "${packageName(name)}",\n      "version": "${manifest.version}",\n` +
    `      "dependencies": {\n${dependencies.join("")}      },\n    },\n`;
  const locked = `    "${packageName(name)}": ["${packageName(name)}@workspace:services/${name}"],\n\n`;
  const [head = "", packages = ""] = text.split(/(?=^ {2}"packages": \{$)/m);
  return (
    insertSorted(head, /^ {4}"([^"]*)": \{$/gm, `services/${name}`, workspace) +
    insertSorted(packages, /^ {4}"([^"]*)": \[/gm, packageName(name), locked)
  );
}

function inCompose(text: string, name: string, port: number): string {
  const setting = `${name.toUpperCase().replaceAll("-", "_")}_PORT`;
  const container = `  ${name}:
    <<: *service
    environment:
      <<: *settings
      SERVICE: ${name}
      ${setting}: "${port}"
    ports: ["127.0.0.1:${port}:${port}"]
    volumes: ["${name}:/data", "keys:/keys:ro"]

`;
  return `${insertBefore(text, "volumes:\n", container, "compose.yaml").trimEnd()}\n  ${name}:\n`;
}

/** Prometheus scrapes it with the others. */
function inPrometheus(text: string, name: string, port: number): string {
  const targets = `      - targets: ["${name}:${port}"]\n`;
  return insertBefore(text, "  - job_name: redpanda\n", targets, "deploy/observe/prometheus.yaml");
}

/** Its user at brokers of one's own, and the file with the password. */
function inOwnBrokers(text: string, name: string): string {
  const container = `  ${name}:
    environment: { <<: *brokers, KAFKA_SASL_USERNAME: ${name} }
    secrets: [{ source: ${name}-kafka-password, target: kafka-password }, kafka-ca, operator-key]

`;
  const secret = `  ${name}-kafka-password: { file: "\${SECRETS_DIR:-./secrets}/${name}.kafka-password" }\n`;
  return insertBefore(text, "secrets:\n", container, "compose.brokers.yaml") + secret;
}

/** Those of the order service with another name and port. */
function manifestsOf(name: string, port: number, root: string): string {
  return readFileSync(join(root, "deploy/kubernetes/base/order.yaml"), "utf8")
    .replaceAll(/\border\b/g, name)
    .replaceAll(String(services.order.port), String(port));
}

/** The rights of the template on the broker, after those of the last service; a test compares them with the composition. */
function inAccessControl(text: string, name: string): string {
  const rights = [
    ["READ", "topic", `${name}.owner`],
    ["WRITE", "topic", `${name}.owner`],
    ["READ", "topic", "order.events"],
    ["READ", "topic", "api-gateway.keys"],
    ["WRITE", "topic", `${name}.dead-letters`],
    ["READ", "group", name],
  ] as const;
  const rows = rights.map(
    ([operation, resource, on]) => `| \`${name}\` | ${operation} | ${resource} | \`${on}\` |\n`,
  );
  return insertBefore(
    text,
    "\n`bun run access` makes them from the services",
    rows.join(""),
    "docs/operations.md",
  );
}

/** The command that starts the service, after those that start the others. */
function inCommands(text: string, name: string): string {
  const last = /(?<=`start-service-[\w-]+`)(?= +\| one part by itself)/;
  if (!last.test(text))
    throw new CommandFailed("docs/commands.md: no row of the commands that start one part");
  return text.replace(last, `, \`start-service-${name}\``);
}

/** The metric of the template, in a table of its own; a test compares the page with what the services serve. */
function inMetrics(text: string, name: string): string {
  const width = Math.max(name.length, "of".length);
  const table = [
    ["name        ", "type ", "labels", "of".padEnd(width), "meaning                    "],
    ["------------", "-----", "------", "-".repeat(width), "---------------------------"],
    ["`tasks_open`", "gauge", "      ", name.padEnd(width), "tasks that are not done yet"],
  ].map((cells) => `| ${cells.join(" | ")} |\n`);
  return insertBefore(text, "## The process\n", `### ${name}\n\n${table.join("")}\n`, "docs/metrics.md");
}

/** @param anchor the beginning of exactly one line */
function insertBefore(text: string, anchor: string, inserted: string, file: string): string {
  const parts = text.split(`\n${anchor}`);
  if (parts.length !== 2)
    throw new CommandFailed(`${file}: expected one line that begins with '${anchor.trim()}'`);
  return `${parts[0]}\n${inserted}${anchor}${parts[1]}`;
}

/** Inserts an entry before the first one whose key is greater. @param entries finds the keys, in ascending order */
function insertSorted(text: string, entries: RegExp, key: string, inserted: string): string {
  const next = [...text.matchAll(entries)].find(([, other = ""]) => other > key);
  if (next === undefined) throw new CommandFailed(`bun.lock: no place for ${key} is found`);
  return text.slice(0, next.index) + inserted + text.slice(next.index);
}
