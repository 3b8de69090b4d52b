import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { startBroker } from "@distributed-messaging/embedded-broker";
import {
  activeActiveServices,
  replicableServices,
  serviceNames,
} from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { commandsOf, instancesIn, principalsOf, storeGrants } from "./grants.ts";

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = [process.execPath, "scripts/access.ts", ...args];
  return runToEnd(command, { cwd: ROOT, env: { PATH: process.env.PATH, ...env } });
}

describe("principals", () => {
  test("are the services' names by default", () => {
    expect(principalsOf([])).toMatchObject({ order: "User:order", "api-gateway": "User:api-gateway" });
  });

  test("follow a pattern, except for those that are named, in any order", () => {
    const options = ["order=User:someone", "User:CN={service},O=Store"];
    expect(principalsOf(options)).toMatchObject({
      order: "User:someone",
      inventory: "User:CN=inventory,O=Store",
    });
    expect(principalsOf(options.toReversed())).toEqual(principalsOf(options));
  });

  test.each([
    [
      "of no service",
      "ordr=User:order",
      "ordr=User:order: expected '<service>=<principal>', or a principal with '{service}'",
    ],
    ["without a type", "order=someone", "someone: expected a principal with its type, such as User:order"],
    ["of two services", "order=User:inventory", "User:inventory is the principal of inventory and order"],
    [
      "with a line break",
      "order=User:a\nb",
      "User:a\nb: expected a principal with its type, such as User:order",
    ],
  ])("are refused: one %s", (_, option, reason) => expect(() => principalsOf([option])).toThrow(reason));
});

describe("the commands", () => {
  test("have every right once", async () => {
    const grants = await storeGrants(principalsOf([]));
    for (const tool of ["kafka-acls", "rpk"] as const) {
      const listed = commandsOf(grants, tool, ["a:1"]).flatMap((line) => {
        const [, principal, operation] = /--allow-principal (\S+) --operation (\S+)/.exec(line) ?? [];
        return [...line.matchAll(/--(topic|group) (\S+)/g)].map(([, resource, name]) => [
          principal,
          operation?.toUpperCase(),
          resource,
          name,
        ]);
      });
      const granted = grants.map(({ principal, operation, resource, name }) => [
        principal,
        operation,
        resource,
        name,
      ]);
      expect(listed.toSorted()).toEqual(granted.toSorted());
    }
    expect(new Set(grants.map(({ principal }) => principal)).size).toBe(serviceNames.length);
  });

  test("of several instances have the groups of each and the change logs, once, and no group of a single one", async () => {
    const grants = await storeGrants(principalsOf([]), {}, instancesIn("0,1"));
    const names = (service: string, resource: string, operation = "READ") =>
      grants
        .filter((grant) => grant.principal === `User:${service}` && grant.resource === resource)
        .flatMap((grant) => (grant.operation === operation ? [grant.name] : []));
    for (const service of activeActiveServices) {
      expect(names(service, "group").toSorted()).toEqual(
        ["0", "0.rebuild", "1", "1.rebuild"].map((end) => `${service}.${end}`),
      );
    }
    for (const service of replicableServices) {
      expect(names(service, "group")).toEqual([service]);
      expect(names(service, "topic", "DELETE")).toEqual([`${service}.changes`]);
    }
    expect(new Set(grants.map((grant) => JSON.stringify(grant))).size).toBe(grants.length);
    for (const wrong of ["", "0,", "rebuild", "A"]) expect(() => instancesIn(wrong)).toThrow("--instances: ");
  });

  test("name the brokers, and quote what a shell would interpret", () => {
    const grant = { principal: "User:CN=it's", operation: "READ", resource: "topic", name: "t" } as const;
    expect(commandsOf([grant], "kafka-acls", ["a:1", "b:2"])).toEqual([
      `kafka-acls.sh --bootstrap-server a:1,b:2 --command-config admin.properties --add --allow-principal 'User:CN=it'\\''s' --operation READ --topic t`,
    ]);
  });
});

describe("bun run access", () => {
  test("prints the commands of both tools", async () => {
    const { stdout, exitCode } = await run(["print", "--tool", "rpk", "--principal", "order=User:o"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(
      "rpk security acl create --allow-principal User:o --operation write --topic order.owner --topic order.events --topic order.dead-letters\n",
    );
    expect(stdout).not.toContain(".changes");
    const replicated = await run(["print", "--tool", "rpk"], { REPLICATION: "on" });
    for (const operation of ["read", "write"]) {
      for (const service of ["order", "inventory"]) {
        const own = `--allow-principal User:${service} --operation ${operation} --topic ${service}.owner --topic ${service}.changes `;
        expect(replicated.stdout).toContain(own);
      }
    }
    for (const service of ["order", "inventory"]) {
      const trims = `--allow-principal User:${service} --operation delete --topic ${service}.changes\n`;
      expect(replicated.stdout).toContain(trims);
      expect(stdout).not.toContain("delete");
    }
    expect(replicated.stdout).not.toMatch(/(gateway|notification)\.changes/);
    const named = await run(["print", "--tool", "rpk"], { INSTANCE: "a" });
    for (const service of ["api-gateway", "notification"])
      expect(named.stdout).toContain(`--group ${service}.a --group ${service}.a.rebuild`);
    expect(named.stdout).toContain("--group order\n");
    const kafka = await run(["print"], { KAFKA_BROKERS: "a.example:9092" });
    expect(kafka.stdout).toStartWith("kafka-acls.sh --bootstrap-server a.example:9092 ");
  });

  test.each([
    [[], 2, "access: expected print or apply (for help: bun run access --help)\n"],
    [
      ["print", "--tool", "x"],
      2,
      "access: --tool: expected kafka-acls or rpk, got 'x' (for help: bun run access --help)\n",
    ],
    [
      ["print", "--principal", "x"],
      2,
      "access: x: expected '<service>=<principal>', or a principal with '{service}' (for help: bun run access --help)\n",
    ],
  ])("%p is refused", async (args, exitCode, stderr) => {
    expect(await run(args)).toEqual({ stdout: "", stderr, exitCode });
  });

  test("fails with one line on a broker without access control", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "access-"));
    const broker = await startBroker({ dataDir, host: "127.0.0.1", port: 0 });
    try {
      const KAFKA_BROKERS = `127.0.0.1:${broker.port}`;
      const { stderr, exitCode } = await run(["apply"], { KAFKA_BROKERS });
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^access: cannot grant the rights at 127\.0\.0\.1:\d+: .+\n$/);
    } finally {
      await broker.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
