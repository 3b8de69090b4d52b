import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { portSetting } from "@distributed-messaging/service/config";
import { serviceNames, services } from "@distributed-messaging/services/registry";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test.each(serviceNames)("%s is registered as its composition and its settings say", async (name) => {
  const { setting, port, replicable, activeActive, load } = services[name];
  const { service } = await load();
  expect(service.name).toBe(name);
  expect(setting).toBe(portSetting(name));
  expect(service.config.properties[setting]?.default).toBe(port);
  expect(service.config.properties.REPLICATION !== undefined).toBe(replicable === true);
  expect(service.config.properties.INSTANCE !== undefined).toBe(activeActive === true);
});

test("every folder with a service.ts is registered, and every registered one has a main.ts", () => {
  const folders = readdirSync(join(ROOT, "services")).filter((folder) =>
    existsSync(join(ROOT, "services", folder, "service.ts")),
  );
  expect(folders.toSorted()).toEqual(serviceNames.toSorted());
  for (const name of serviceNames)
    expect([name, existsSync(join(ROOT, "services", name, "main.ts"))]).toEqual([name, true]);
});

test("no two services have the same port", () => {
  const ports = serviceNames.map((name) => services[name].port);
  expect(ports).toEqual([...new Set(ports)]);
});

test.each(serviceNames)("bun run start-service-%s starts its main.ts", (name) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(scripts[`start-service-${name}`]).toBe(`exec /bin/sh scripts/bootstrap.sh services/${name}/main.ts`);
});

test("every script of package.json runs a file that exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const files = Object.values(scripts).flatMap(
    (line) => line.match(/(?<= )(?:scripts|services|redpanda)\/\S+\.(?:ts|sh)/g) ?? [],
  );
  expect(files.length).toBeGreaterThan(Object.keys(scripts).length);
  expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});
