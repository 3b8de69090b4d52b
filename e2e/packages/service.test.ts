import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OrderConfirmed, topics } from "@distributed-messaging/contracts";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { encode, message, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { slowTest } from "../support/slow-test.ts";
import { OutsideFolder } from "./installed.ts";

/* The example of shared/service/README.md, outside of the repository, with the three packed packages. */

/** Downloads, on a slow line. */
const LIMIT_MS = 180_000;
const readme = readFileSync(join(ROOT, "shared/service/README.md"), "utf8");
const outside = new OutsideFolder();
const folder = outside.folder("audit");

beforeAll(async () => {
  const tarballs = await Promise.all(
    (["messaging", "contracts", "service"] as const).map((name) => outside.pack(name)),
  );
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const pinned = ["@types/bun", "typescript"].map((name) => `${name}@${devDependencies[name]}`);
  await outside.run([process.execPath, "init", "--yes"], folder);
  const added = [...tarballs.map((tarball) => `../${tarball}`), ...pinned];
  await outside.run([process.execPath, "add", ...added, "elysia@1.4", "@sinclair/typebox@0.34"], folder);
  for (const [, name = "", code = ""] of readme.matchAll(/^```ts file=(\S+)\n(.*?)^```$/gms)) {
    writeFileSync(join(folder, name), code);
  }
}, LIMIT_MS);
afterAll(() => outside.remove());

slowTest(
  "it passes its test and the type checks of bun init",
  async () => {
    expect(await outside.run([process.execPath, "test"], folder)).toContain("1 pass");
    await outside.run([process.execPath, "x", "tsc"], folder);
  },
  LIMIT_MS,
);

test("there is one copy of each package that two copies would break", async () => {
  const copies = (name: string) => [...new Bun.Glob(`**/node_modules/${name}/package.json`).scanSync(folder)];
  for (const name of ["@sinclair/typebox", "elysia", "drizzle-orm", "@distributed-messaging/messaging"]) {
    expect(copies(name)).toEqual([`node_modules/${name}/package.json`]);
  }
});

test(
  "it runs: ready, it handles a message of the store, and stops in good order",
  async () => {
    const [port = 0] = freePorts(1);
    const broker = await startBroker({ dataDir: outside.folder("broker"), port: 0 });
    const brokers = [`localhost:${broker.port}`];
    const service = Bun.spawn([process.execPath, "main.ts"], {
      cwd: folder,
      env: outside.env({ KAFKA_BROKERS: brokers[0] ?? "", AUDIT_PORT: String(port), LOG_LEVEL: "warn" }),
      stdio: ["ignore", "inherit", "inherit"],
    });
    const transport = kafkaTransport(
      { brokers, clientId: "test" },
      Object.values(topics),
      systemRuntime,
      silentLogger,
    );
    try {
      await eventually(async () => (await fetch(`http://localhost:${port}/readiness`)).ok, "it is ready");
      const id = Bun.randomUUIDv7();
      const origin = {
        id,
        source: "order",
        time: new Date().toISOString(),
        correlationid: id,
        causationid: id,
      };
      const confirmed = message(OrderConfirmed, { orderId: "O1", customerId: "C1" }, origin);
      await transport.publish([encode(OrderConfirmed, confirmed)]);
      await eventually(async () => {
        const response = await fetch(`http://localhost:${port}/confirmed`);
        expect(await response.json()).toEqual([{ order_id: "O1" }]);
        return true;
      }, "the order is listed");
      service.kill("SIGTERM");
      expect(await service.exited).toBe(0);
    } finally {
      service.kill("SIGKILL");
      await service.exited;
      await transport.close();
      await broker.stop();
    }
  },
  LIMIT_MS,
);
