import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { instancesOf } from "./instances.ts";
import { type ComposeProject, canRender, composeProject } from "./tools.ts";

/* compose.yaml, as Docker Compose's own library reads it. Everything else about it: scripts/compose/compose.test.ts */

const describeSlow = canRender ? describe : describe.skip;
const BUILD_LIMIT_MS = 600_000;
const COMPOSE = join(ROOT, "compose.yaml");

/** Whatever a container names is there. */
function expectWhole({ services, secrets = {}, volumes }: ComposeProject): void {
  for (const [name, { depends_on = {}, secrets: used = [], volumes: mounted = [] }] of Object.entries(
    services,
  )) {
    for (const [other, { required }] of Object.entries(depends_on)) {
      expect({ name, other, found: !required || other in services }).toEqual({ name, other, found: true });
    }
    for (const { source } of used) expect(Object.keys(secrets)).toContain(source);
    for (const { type, source } of mounted) {
      const found = type === "bind" ? existsSync(source) : source in volumes;
      expect({ name, source, found }).toEqual({ name, source, found: true });
    }
  }
}

describeSlow("compose.yaml", () => {
  test(
    "by default there is one broker",
    async () => {
      const project = await composeProject([COMPOSE]);
      expectWhole(project);
      expect(Object.keys(project.services).toSorted()).toEqual(
        ["console", "provision", "redpanda", ...serviceNames].toSorted(),
      );
    },
    BUILD_LIMIT_MS,
  );

  test(
    "with redpanda/cluster.env there are three, every container knows all of them, and each service has two instances",
    async () => {
      const project = await composeProject([COMPOSE], { envFile: join(ROOT, "redpanda/cluster.env") });
      expectWhole(project);
      for (const { service, index, settings } of instancesOf(2)) {
        const name = index === 0 ? service : `${service}-${index + 1}`;
        const { environment = {} } = project.services[name] ?? {};
        // Containers listen on all of their addresses; an empty setting is none.
        const address = settings.has("REPLICATION") ? ["ADVERTISED_URL"] : [];
        const added = Object.keys(environment).filter((setting) => environment[setting] !== "");
        expect([name, added.toSorted()]).toEqual([
          name,
          expect.arrayContaining([...settings.keys(), ...address].filter((one) => one !== "DATA_DIR")),
        ]);
        for (const setting of ["REPLICATION", "ACCEPT", "INSTANCE"]) {
          expect([name, setting, environment[setting] || undefined]).toEqual([
            name,
            setting,
            settings.get(setting),
          ]);
        }
        if (address.length > 0) {
          expect(environment.ADVERTISED_URL).toBe(`http://${name}:${services[service].port}`);
        }
      }
      const brokers = Object.keys(project.services).filter((name) => name.startsWith("redpanda"));
      expect(brokers).toEqual(["redpanda", "redpanda-1", "redpanda-2"]);
      for (const name of ["console", "provision", ...serviceNames]) {
        const { environment } = project.services[name] ?? {};
        expect([name, environment?.KAFKA_BROKERS]).toEqual([
          name,
          brokers.map((one) => `${one}:29092`).join(","),
        ]);
      }
    },
    BUILD_LIMIT_MS,
  );

  test(
    "with compose.brokers.yaml there is none, the given ones are used, and every secret is a file",
    async () => {
      const files = [COMPOSE, join(ROOT, "compose.brokers.yaml")];
      const env = { KAFKA_BROKERS: "a.example:9093,b.example:9093", SECRETS_DIR: "/somewhere" };
      const project = await composeProject(files, { env });
      expectWhole(project);
      expect(Object.keys(project.services).toSorted()).toEqual(["provision", ...serviceNames].toSorted());
      for (const { environment } of Object.values(project.services)) {
        expect(environment).toMatchObject({ KAFKA_BROKERS: env.KAFKA_BROKERS, KAFKA_SSL: "true" });
      }
      for (const { file } of Object.values(project.secrets ?? {})) expect(file).toStartWith("/somewhere/");
      expect(composeProject(files)).rejects.toThrow("expected host:port of the brokers");
    },
    BUILD_LIMIT_MS,
  );

  test(
    "a mistake in the file is refused",
    async () => {
      const file = join(ROOT, "compose.yaml");
      const wrong = (await Bun.file(file).text()).replace(
        "stop_grace_period: 15s",
        "stop_grace_perriod: 15s",
      );
      const path = join(import.meta.dir, `compose-${crypto.randomUUID()}.yaml`);
      await Bun.write(path, wrong);
      try {
        expect(composeProject([path])).rejects.toThrow("stop_grace_perriod");
      } finally {
        await Bun.file(path).delete();
      }
    },
    BUILD_LIMIT_MS,
  );
});
