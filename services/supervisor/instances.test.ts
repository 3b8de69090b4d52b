import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  activeActiveServices,
  replicableServices,
  serviceNames,
  services,
} from "@distributed-messaging/services/registry";
import { readFigures } from "./http/services.ts";
import { StoreSupervisor } from "./store.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "instances-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** Services that were added to the store's, of which there is one instance each. */
const others = serviceNames.filter(
  (name) => !activeActiveServices.includes(name) && !replicableServices.includes(name),
);

const envOf = (store: StoreSupervisor, name: string) => store.process(name).spec.env;

describe("a store with two instances of each service", () => {
  test("names those that all work, replicates the others, and gives each a database of its own", () => {
    const store = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1", replicas: 2 });
    // A service that was added runs once, as it does without the others.
    for (const name of others) {
      const own = store.instances.filter(({ service }) => service === name);
      expect(own.map(({ group }) => group)).toEqual([name]);
      expect(envOf(store, name)).not.toHaveProperty("INSTANCE");
      expect(store.process(name).spec.file).toBeUndefined();
    }
    const shown = store.instances.filter(({ service }) => !others.includes(service));
    expect(shown.map(({ name, group }) => [name, group])).toEqual([
      ["api-gateway", "api-gateway.1"],
      ["api-gateway-2", "api-gateway.2"],
      ["inventory", "inventory"],
      ["inventory-2", "inventory"],
      ["order", "order"],
      ["order-2", "order"],
      ["notification", "notification.1"],
      ["notification-2", "notification.2"],
    ]);
    expect(envOf(store, "notification-2")).toMatchObject({
      INSTANCE: "2",
      DATA_DIR: join(dataDir, "replica-2"),
      AUTH_JWKS_FILE: join(dataDir, "jwks.json"),
    });
    expect(envOf(store, "order-2")).toMatchObject({ REPLICATION: "on" });
    expect(envOf(store, "order-2").INSTANCE).toBeUndefined();
    const [one, other] = [envOf(store, "api-gateway"), envOf(store, "api-gateway-2")];
    expect(one.ACCEPT).toBe("replicated");
    expect(one.AUTH_SIGNING_KEY_FILE).toBe(join(dataDir, "api-gateway.jwk"));
    expect(other.AUTH_SIGNING_KEY_FILE).toBe(one.AUTH_SIGNING_KEY_FILE ?? "");
    // It would replace the public keys of the first one.
    expect(other.AUTH_JWKS_FILE).toBeUndefined();
    const files = store.instances.map(({ file }) => file);
    expect(new Set(files).size).toBe(files.length);
  });

  test("one more instance is made as the others are, and does not run by itself", () => {
    const store = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1", replicas: 2 });
    const before = store.instances.length;
    for (const name of [...activeActiveServices, ...replicableServices]) {
      const added = store.addInstance(name);
      expect(added).toMatchObject({ name: `${name}-3`, service: name });
      expect(store.process(added.name).state).toBe("stopped");
      // But for what is its own, as the second one.
      const [second, third] = [envOf(store, `${name}-2`), envOf(store, added.name)];
      const port = services[name].setting;
      expect(third).toEqual({
        ...second,
        ...{ DATA_DIR: join(dataDir, "replica-3"), [port]: new URL(added.url).port },
        ...(second.INSTANCE === undefined ? {} : { INSTANCE: "3" }),
      });
      expect(third[port]).not.toBe(second[port]);
      expect(store.process(added.name).spec.file).toBe(join(dataDir, "replica-3", `${name}.sqlite`));
    }
    expect(store.addInstance("order").name).toBe("order-4");
    const { length } = [...activeActiveServices, ...replicableServices];
    expect(store.instances).toHaveLength(before + length + 1);
    expect(new Set(store.instances.map(({ url }) => url)).size).toBe(store.instances.length);
    expect(store.report().map(({ name }) => name)).toEqual(store.instances.map(({ name }) => name));
  });

  test("a service that runs once gets no further instance", () => {
    const single = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1" });
    expect(() => single.addInstance("order")).toThrow("order runs once in this store");
    expect(single.instances).toHaveLength(serviceNames.length);
    const store = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1", replicas: 2 });
    for (const name of others)
      expect(() => store.addInstance(name)).toThrow(`${name} runs once in this store`);
  });

  test("uses the signing key of its settings", () => {
    const env = { AUTH_SIGNING_KEY: "a key" };
    const store = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1", replicas: 2, env });
    expect(envOf(store, "api-gateway-2")).toMatchObject(env);
    expect(envOf(store, "api-gateway-2").AUTH_SIGNING_KEY_FILE).toBeUndefined();
  });

  test("shows which instance of a service leads, and how far each is behind", async () => {
    const instance = (metrics: string) =>
      Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: ({ url }) => new Response(url.endsWith("/metrics") ? metrics : "{}"),
      });
    const follower = instance("replication_leads 0\nreplication_groups 9\n");
    const leader = instance("replication_leads 1\nreplication_groups 12\noutbox_depth 4\n");
    const urls = [follower, leader].map(({ port }) => `http://127.0.0.1:${port}`);
    try {
      const { services } = await readFigures(
        (name) =>
          [...(name === "order" ? urls : []), "http://127.0.0.1:1"].map((url, index) => ({
            name: `${name}-${index}`,
            url,
          })),
        async () => [],
      );
      expect(services.find(({ name }) => name === "order")).toMatchObject({
        outboxDepth: 4,
        instances: [
          { name: "order-0", leads: false, behind: 3 },
          { name: "order-1", leads: true, behind: 0 },
          { name: "order-2", leads: null, behind: null },
        ],
      });
      // Nobody leads where all work.
      expect(services.find(({ name }) => name === "notification")?.instances).toEqual([]);
    } finally {
      await Promise.all([follower.stop(true), leader.stop(true)]);
    }
  });

  test("of instances that all work it shows the figures together", async () => {
    const of = (depth: number, age: number) =>
      Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: () =>
          new Response(`outbox_depth ${depth}\noutbox_oldest_age_seconds ${age}\ndead_letters 1\n`),
      });
    const servers = [of(4, 1.5), of(3, 2.5)];
    const urls = [...servers.map(({ port }) => `http://127.0.0.1:${port}`), "http://127.0.0.1:1"];
    try {
      const { services } = await readFigures(
        (name) => urls.map((url) => ({ name, url })),
        async () => [],
      );
      expect(services.find(({ name }) => name === "api-gateway")).toMatchObject({
        ...{ outboxDepth: 7, outboxOldestAgeS: 2.5, deadLetters: 2, handled: null, instances: [] },
      });
    } finally {
      await Promise.all(servers.map((server) => server.stop(true)));
    }
  });

  test("shows of each service the lag of the instance that has read least", async () => {
    const groups = [
      { group: "notification.1", lag: 2 },
      { group: "notification.2", lag: 7 },
      { group: "order", lag: 3 },
    ];
    const topics = [
      { name: "order.events", partitions: [], groups },
      { name: "inventory.events", partitions: [], groups: [{ group: "notification.1", lag: 1 }] },
    ];
    const { lag } = await readFigures(
      (name) => [{ name, url: "http://127.0.0.1:1" }],
      async () => topics,
    );
    expect(lag).toEqual({ notification: 7, order: 3 });
  });
});

test("a store with one of each names none", () => {
  const store = new StoreSupervisor({ dataDir, brokers: "127.0.0.1:1" });
  expect(store.instances.map(({ group }) => group)).toEqual([...serviceNames]);
  expect(envOf(store, "api-gateway").INSTANCE).toBeUndefined();
  expect(envOf(store, "api-gateway").AUTH_SIGNING_KEY_FILE).toBeUndefined();
});
