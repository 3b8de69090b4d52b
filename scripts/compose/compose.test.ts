import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { commonSettings, loadConfig } from "@distributed-messaging/service/config";
import {
  activeActiveServices,
  replicableServices,
  type ServiceName,
  serviceNames,
  services,
} from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { compose } from "./docker.ts";

/* Checks compose.yaml, Dockerfile and their configuration without a Docker engine. */

interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly restart: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
// The file is ours; what it must hold is what the tests below check.
const file = Bun.YAML.parse(read("compose.yaml")) as {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const all = Object.entries(file.services);
const brokers = ["redpanda", "redpanda-1", "redpanda-2"];
const clusterSettings = Object.fromEntries(
  [...read("redpanda/cluster.env").matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = "", value = ""]) => [
    name,
    value,
  ]),
);
// As YAML without Compose's own tags; the tests below check what it holds.
const ownBrokers = Bun.YAML.parse(read("compose.brokers.yaml").replaceAll(" !reset null", " reset")) as {
  readonly "x-brokers": Readonly<Record<string, string>>;
  readonly services: Readonly<
    Record<
      string,
      { readonly environment: Readonly<Record<string, string>>; readonly secrets: readonly unknown[] }
    >
  >;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const dockerfile = read("Dockerfile");

function service(name: string): ComposeService {
  const found = file.services[name];
  if (found === undefined) throw new Error(`compose.yaml has no service ${name}`);
  return found;
}

/** Not those of monitoring, which are tested with it. */
const isOurs = (profiles: readonly string[] = []) => !profiles.includes("observe");

type Variables = Readonly<Record<string, string>>;

/** A value with variables in place of the defaults. */
function interpolated(value: string, variables: Variables): string {
  return value.replace(
    /\$\{(\w+):-([^}]*)\}/g,
    (_, variable: string, fallback: string) => variables[variable] ?? fallback,
  );
}

/** The environment of a container, with variables in place of the defaults. */
function environmentOf(name: string, variables: Variables = {}): Record<string, string> {
  const entries = Object.entries(service(name).environment ?? {}).map(([setting, value]) => [
    setting,
    interpolated(value, variables),
  ]);
  return Object.fromEntries(entries);
}

/** The ports of this machine at which a container is reached. */
function published(name: string, variables: Variables = {}): string[] {
  return (service(name).ports ?? []).map((port) => interpolated(port, variables));
}

/** Those of which a cluster has a second instance. */
const plural = serviceNames.filter(
  (name) => activeActiveServices.includes(name) || replicableServices.includes(name),
);
/** The containers of services in a cluster, each with its service. */
const instances = serviceNames.flatMap((name) => [
  { container: name as string, name },
  ...(plural.includes(name) ? [{ container: `${name}-2`, name }] : []),
]);

test("the containers are the broker, its console, the topics and every registered service; a cluster has more", () => {
  const names = all.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name);
  expect(names.toSorted()).toEqual(["console", "provision", "redpanda", ...serviceNames].toSorted());
  const cluster = all.filter(([, { profiles }]) => profiles?.includes("cluster")).map(([name]) => name);
  expect(cluster.toSorted()).toEqual(
    ["proxy", "redpanda-1", "redpanda-2", "signing-key", ...plural.map((name) => `${name}-2`)].toSorted(),
  );
});

test("every image is pinned to a version, or built here from pinned ones", () => {
  for (const [name, { image, build }] of all) {
    expect([name, build ?? image]).toEqual([
      name,
      build === undefined ? expect.stringMatching(/:v?\d+\.\d+\.\d+(-alpine)?$/) : ".",
    ]);
  }
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  expect(bases).toEqual([expect.stringMatching(/^oven\/bun:\d+\.\d+\.\d+-slim$/), "base", "base", "base"]);
});

test("nothing is published beyond the loopback interface, and the services where interfaces say", () => {
  for (const variables of [{}, clusterSettings]) {
    const shown = all.filter(
      ([, { profiles = [] }]) => variables === clusterSettings || profiles.length === 0,
    );
    const ports = shown.flatMap(([name]) => published(name, variables));
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(new Set(ports.map((port) => port.split(":")[1])).size).toBe(ports.length);
  }
  for (const name of serviceNames) {
    const { setting, port } = services[name];
    expect(published(name)).toEqual([`127.0.0.1:${port}:${port}`]);
    expect(service(name).environment?.[setting]).toBe(String(port));
    // In a cluster, the proxy is there, and sends requests on to whichever instance is ready.
    if (plural.includes(name)) expect(published("proxy")).toContain(`127.0.0.1:${port}:${port}`);
  }
  expect(published("proxy")).toHaveLength(plural.length);
  for (const [name, { ports = [], profiles }] of all.filter(
    ([name]) => !plural.includes(name as ServiceName),
  )) {
    if (profiles?.includes("cluster") && instances.some(({ container }) => container === name)) continue;
    for (const port of ports)
      expect([name, port]).toEqual([name, expect.stringMatching(/^127\.0\.0\.1:(\d+):\1$/)]);
  }
  expect(published("redpanda")).toEqual(["127.0.0.1:9092:9092"]);
  expect(published("console")).toEqual(["127.0.0.1:8080:8080"]);
});

test("each container accepts its settings, as they are, in a cluster, and with the addresses of the image", async () => {
  const image = Object.fromEntries(
    [...dockerfile.matchAll(/^(?:ENV| {4}) ?([A-Z_]+)=(\S+)/gm)].map(([, name = "", value]) => [name, value]),
  );
  expect(image).toMatchObject({ NODE_ENV: "production", HOST: "0.0.0.0" });
  const folder = mkdtempSync(join(tmpdir(), "compose-"));
  // In place of the one that the container signing-key makes.
  const key = join(folder, "signing-key.jwk");
  const made = await runToEnd([process.execPath, join(ROOT, "scripts/signing-key.ts"), key], {
    cwd: ROOT,
    env: {},
  });
  expect(made).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  try {
    for (const { container, name } of instances) {
      const { config } = (await services[name].load()).service;
      const env = { ...image, ...environmentOf(container) };
      if (container === name) {
        expect(loadConfig(config, env, name)).toMatchObject({ HOST: "0.0.0.0", NODE_ENV: "production" });
      }
      expect(() => loadConfig(config, { ...env, ALLOW_INSECURE: "" }, name)).toThrow(/AUTOMATION_TESTING: /);
      const given = environmentOf(container, clusterSettings);
      const present = given.AUTH_SIGNING_KEY_FILE === undefined ? {} : { AUTH_SIGNING_KEY_FILE: key };
      const inCluster = loadConfig(config, { ...image, ...given, ...present }, name);
      expect(inCluster).toMatchObject({ TOPIC_REPLICATION: 3, TOPIC_MIN_INSYNC_REPLICAS: 2 });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("without redpanda/cluster.env, each service is the only instance of itself", () => {
  for (const name of serviceNames) {
    const {
      INSTANCE = "",
      REPLICATION = "off",
      ACCEPT = "local",
      AUTH_SIGNING_KEY_FILE = "",
    } = environmentOf(name);
    expect([name, INSTANCE, REPLICATION, ACCEPT, AUTH_SIGNING_KEY_FILE]).toEqual([
      name,
      "",
      "off",
      "local",
      "",
    ]);
  }
});

test("no container is given a setting that it does not read", async () => {
  const settingsOf = async (name: ServiceName) => {
    const { config } = (await services[name].load()).service;
    return ["SERVICE", ...Object.keys(config.properties)];
  };
  for (const { container, name } of instances) {
    expect(await settingsOf(name)).toContainValues(Object.keys(service(container).environment ?? {}));
  }
  const provisioning = Object.keys(commonSettings);
  expect(provisioning).toContainValues(Object.keys(service("provision").environment ?? {}));
  // Of the file for brokers of one's own, all are settings of every process.
  expect(provisioning).toContainValues(Object.keys(ownBrokers["x-brokers"]));
});

test("in a cluster, all brokers are named everywhere, and topics have a replica on each", () => {
  const addresses = brokers.map((name) => `${name}:29092`).join(",");
  for (const name of ["provision", "console", ...serviceNames]) {
    expect([name, environmentOf(name).KAFKA_BROKERS]).toEqual([name, "redpanda:29092"]);
    expect([name, environmentOf(name, clusterSettings).KAFKA_BROKERS]).toEqual([name, addresses]);
  }
  expect(environmentOf("console", clusterSettings).REDPANDA_ADMINAPI_URLS).toBe(
    brokers.map((name) => `http://${name}:9644`).join(","),
  );
  expect(environmentOf("provision", clusterSettings)).toMatchObject({
    TOPIC_REPLICATION: "3",
    TOPIC_MIN_INSYNC_REPLICAS: "2",
  });
  expect(clusterSettings.COMPOSE_PROFILES).toBe("cluster");
  // No value is for nothing.
  const used = read("compose.yaml");
  for (const name of Object.keys(clusterSettings).filter((one) => one !== "COMPOSE_PROFILES")) {
    expect(used).toContain(`\${${name}:-`);
  }
});

test("with brokers of one's own, none is started, and every service has its own user and its secrets as files", () => {
  const { services: containers, secrets: files } = ownBrokers;
  for (const name of [...brokers, "console"])
    expect([name, containers[name] as unknown]).toEqual([name, "reset"]);
  const shared = ["kafka-ca", "operator-key"];
  for (const name of ["provision", ...serviceNames]) {
    const { environment, secrets } = containers[name] ?? { environment: {}, secrets: [] };
    expect(environment).toMatchObject({
      KAFKA_SASL_USERNAME: name,
      KAFKA_SASL_PASSWORD_FILE: "/run/secrets/kafka-password",
      KAFKA_SSL_CA_FILE: "/run/secrets/kafka-ca",
    });
    expect(environment).not.toHaveProperty("KAFKA_SASL_PASSWORD");
    expect(secrets).toEqual([{ source: `${name}-kafka-password`, target: "kafka-password" }, ...shared]);
    expect(files[`${name}-kafka-password`]?.file).toBe(`\${SECRETS_DIR:-./secrets}/${name}.kafka-password`);
  }
  expect(Object.keys(files)).toHaveLength(shared.length + 1 + serviceNames.length);
  expect(read(".gitignore")).toContain("/secrets/\n");
});

test("each service runs its own file, as SERVICE names it, on a volume of its own", () => {
  expect(dockerfile).toContain('CMD ["sh", "-c", "exec bun services/$SERVICE/main.ts"]');
  for (const { container, name } of instances) {
    expect(existsSync(join(ROOT, "services", name, "main.ts"))).toBe(true);
    expect(service(container).environment?.SERVICE).toBe(name);
    expect(service(container).volumes).toContain(`${container}:/data`);
    // Keys and snapshots of all instances of a service, and of no other one.
    const shared = service(container).volumes?.filter((volume) => volume.endsWith(":/shared"));
    expect(shared).toEqual(plural.includes(name) ? [`${name}-shared:/shared`] : []);
  }
  for (const name of ["provision", "signing-key"]) {
    expect(existsSync(join(ROOT, service(name).command?.[1] ?? ""))).toBe(true);
  }
  expect(service("signing-key").command?.[2]).toBe(clusterSettings.SIGNING_KEY_FILE ?? "");
});

test("everything that stays up has a health check and comes back after a crash", () => {
  const [, check = ""] = /HEALTHCHECK .*CMD \["bun", "([^"]+)"\]/.exec(dockerfile) ?? [];
  expect(existsSync(join(ROOT, check))).toBe(true);
  // Console's image promises no program that could check it, and nothing depends on it.
  const checkable = all.filter(
    ([name, { profiles }]) => !["provision", "signing-key", "console"].includes(name) && isOurs(profiles),
  );
  expect(service("console").healthcheck).toBeUndefined();
  for (const name of brokers)
    expect(service(name).healthcheck?.test?.[1]).toStartWith("rpk cluster health | grep ");
  for (const [name, { healthcheck, build, restart }] of checkable) {
    const checked = build === undefined ? healthcheck?.test !== undefined : healthcheck === undefined;
    expect([name, checked, restart]).toEqual([name, true, "unless-stopped"]);
  }
});

test("the services wait for the topics, the topics for the broker", () => {
  const completed = { condition: "service_completed_successfully" };
  for (const { container, name } of instances) {
    const signingKey = name === "api-gateway" ? { "signing-key": { ...completed, required: false } } : {};
    expect(service(container).depends_on as unknown).toEqual({ provision: completed, ...signingKey });
  }
  for (const name of ["console", "redpanda-1", "redpanda-2"]) {
    expect(service(name).depends_on).toEqual({ redpanda: { condition: "service_healthy" } });
  }
  const inCluster = { condition: "service_healthy", required: false };
  expect(service("provision").depends_on as unknown).toEqual({
    redpanda: { condition: "service_healthy" },
    "redpanda-1": inCluster,
    "redpanda-2": inCluster,
  });
});

test("every volume and every mounted file is there", () => {
  const sources = all.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(":")[0] ?? ""));
  for (const source of sources.filter((one) => one.startsWith("."))) {
    expect([source, existsSync(join(ROOT, source))]).toEqual([source, true]);
  }
  const named = sources.filter((source) => !source.startsWith("."));
  expect([...new Set(named)].toSorted()).toEqual(Object.keys(file.volumes).toSorted());
});

test("the gateway alone writes the keys that verify tokens", () => {
  const shared = instances.map(({ container }) => [
    container,
    service(container).environment?.AUTH_JWKS_FILE,
    service(container).volumes?.filter((volume) => volume.startsWith("keys:")),
  ]);
  expect(shared).toEqual(
    instances.map(({ container }) =>
      // It would replace the keys of the first one.
      container === "api-gateway-2"
        ? [container, "", []]
        : [container, "/keys/jwks.json", [container === "api-gateway" ? "keys:/keys" : "keys:/keys:ro"]],
    ),
  );
  expect(dockerfile).toContain("chown bun:bun /data /keys /shared");
});

test("what is built here cannot write to its image", () => {
  const ours = all.filter(([, { build }]) => build !== undefined);
  for (const [name, { read_only, cap_drop }] of ours) {
    expect([name, read_only, cap_drop]).toEqual([name, true, ["ALL"]]);
  }
});

test("Redpanda answers when a record is on disk, and makes no topic that nobody defined", () => {
  for (const name of ["redpanda", "redpanda-1", "redpanda-2"]) {
    expect(service(name).command).toContain("--unsafe-bypass-fsync=false");
    expect(service(name).volumes).toContain("./redpanda/redpanda.yaml:/etc/redpanda/.bootstrap.yaml:ro");
  }
  expect(Bun.YAML.parse(read("redpanda/redpanda.yaml"))).toMatchObject({
    auto_create_topics_enabled: false,
    write_caching_default: "false",
  });
});

test("clients inside are told the address inside, clients on this machine one of this machine", () => {
  for (const name of ["redpanda", "redpanda-1", "redpanda-2"]) {
    const { command = [], ports = [] } = service(name);
    const port = /:(\d+)$/.exec(ports[0] ?? "")?.[1];
    expect(command).toContain(`--kafka-addr=internal://0.0.0.0:29092,host://0.0.0.0:${port}`);
    expect(command).toContain(`--advertise-kafka-addr=internal://${name}:29092,host://localhost:${port}`);
  }
  expect(Bun.YAML.parse(read("redpanda/console.yaml"))).toMatchObject({
    redpanda: { adminApi: { enabled: true } },
    server: { listenPort: 8080 },
  });
});

test("the image has every workspace's manifest, or the frozen lock file would not fit", () => {
  const { workspaces }: { workspaces: string[] } = JSON.parse(read("package.json"));
  const [, manifests = ""] = /FROM base AS manifests\n([\s\S]*?)\n\n/.exec(dockerfile) ?? [];
  const folders = [...manifests.matchAll(/^COPY (\S+) \1$/gm)].map(([, folder]) => folder);
  expect(folders.toSorted()).toEqual([...new Set(workspaces.map((path) => path.split("/")[0]))].toSorted());
  expect(manifests).toEndWith("RUN find . -type f ! -name package.json -delete");
  expect(dockerfile).toContain("COPY package.json bun.lock bunfig.toml ./\nCOPY --from=manifests /app ./\n");
});

const composePlugin = Bun.spawnSync(["/bin/sh", "-c", "docker compose version"]).exitCode === 0;
test.skipIf(!composePlugin)("docker compose accepts the file", async () => {
  expect(await compose(["--profile", "cluster", "config", "--quiet"])).toBe(0);
});

test.each([
  [["logs", "--help"], "logs --help"],
  [
    ["--cluster", "logs", "-f", "order"],
    `--env-file ${join(ROOT, "redpanda/cluster.env")} --profile cluster logs -f order`,
  ],
  [["--own-brokers", "ps"], `--file ${join(ROOT, "compose.brokers.yaml")} ps`],
])("%p is passed on to docker compose", async (args, passedOn) => {
  const folder = mkdtempSync(join(tmpdir(), "compose-"));
  try {
    writeFileSync(join(folder, "docker"), '#!/bin/sh\necho "$*"\n', { mode: 0o755 });
    const { exitCode, stdout } = await runToEnd(
      [process.execPath, join(ROOT, "scripts/compose-all.ts"), ...args],
      {
        cwd: ROOT,
        env: { PATH: `${folder}:${process.env.PATH}` },
      },
    );
    expect([exitCode, stdout]).toEqual([0, `compose --file ${join(ROOT, "compose.yaml")} ${passedOn}\n`]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
