import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a store that is stopped, or a part of one. A whole store that runs is in e2e/drills. */

let store: StoreSettings;
beforeEach(() => {
  store = new StoreSettings();
});
afterEach(() => store.remove());

const doctor = (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
  store.run("doctor.ts", args, env);
const dataDir = () => store.env.DATA_DIR ?? "";

test("a store that is stopped and sound: nothing failed, and what cannot be asked is said", async () => {
  expect((await store.run("start-persistence.ts")).exitCode).toBe(0);
  chmodSync(dataDir(), 0o700);
  const { exitCode, stdout, stderr } = await doctor();
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).not.toContain("FAILED");
  for (const name of ["api-gateway", "inventory", "order", "notification"]) {
    expect(stdout).toContain(`warning  services     ${name} does not run at `);
  }
  expect(stdout).toMatch(/^warning +broker +no answer from localhost:\d+.*are not checked$/m);
  expect(stdout).toMatch(/^ok +files /m);
  expect(stdout).toMatch(/^ok +outbox +order: nothing waits to be sent$/m);
});

test("what is wrong in the data directory", async () => {
  await store.run("start-persistence.ts");
  chmodSync(dataDir(), 0o755);
  {
    using database = new Database(join(dataDir(), "order.sqlite"));
    database.run("INSERT INTO migrations (scope, step, name, checksum) VALUES ('order', 99, 'later', 'x')");
  }
  await Bun.write(
    join(dataDir(), "inventory.sqlite"),
    "not a database, although it has enough bytes to be one",
  );
  const { exitCode, stdout } = await doctor();
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/^FAILED +files +others have access to \S+ \(755\)\. To do: chmod 700 '/m);
  expect(stdout).toMatch(/^FAILED +versions +order: its database has the step 'later'/m);
  expect(stdout).toMatch(/^FAILED +versions +inventory: its database cannot be read/m);
  expect(stdout).toMatch(/^warning +versions +api-gateway: its database lacks \d+ steps/m);
});

test("settings that do not suit production", async () => {
  mkdirSync(dataDir(), { mode: 0o700 });
  const demo = {
    DEMO_SIGN_IN: "true",
    SQLITE_SYNCHRONOUS: "OFF",
    KAFKA_BROKERS: "broker.example.invalid:9092",
  };
  const here = await doctor([], demo);
  expect(here.stdout).toMatch(/^warning +durability /m);
  // A broker that is named is expected to answer.
  expect(here.stdout).toMatch(/^FAILED +broker /m);
  expect(here.stdout).toMatch(/^warning +tls /m);
  expect(here.stdout).toMatch(/^warning +credentials /m);
  const refused = await doctor(["--production"], demo);
  expect(refused.exitCode).toBe(1);
  expect(refused.stdout).toMatch(/^FAILED +settings +DEMO_SIGN_IN: NODE_ENV is production/m);
  const { stdout } = await doctor(["--production", "--json"], { SQLITE_SYNCHRONOUS: "OFF" });
  const findings: { check: string; level: string }[] = JSON.parse(stdout);
  const levelOf = (check: string) => findings.find((finding) => finding.check === check)?.level;
  expect(["sign-in", "durability", "hosts"].map(levelOf)).toEqual(["failed", "failed", "warning"]);
});

test("a service whose clock is a minute ahead, which is not ready and says why", async () => {
  const problem = { check: "outbox", detail: "3 outgoing messages are parked", remedy: "look at the outbox" };
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      Response.json(
        { app: "order", ready: false, checks: { broker: "DOWN", outbox: "DOWN" }, problems: [problem] },
        { status: 503, headers: { date: new Date(Date.now() + 60_000).toUTCString() } },
      ),
  });
  const { exitCode, stdout } = await doctor([], { ORDER_PORT: String(server.port) });
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/^FAILED +clock +the clock of order differs by (59|60)\.\d s/m);
  expect(stdout).toMatch(
    /^FAILED +services +order: outbox is DOWN: 3 outgoing messages are parked\. To do: look at the outbox$/m,
  );
  expect(stdout).toMatch(/^FAILED +services +order: broker is DOWN\. To do: docs/m);
  const other = await doctor([], { INVENTORY_PORT: String(server.port) });
  expect(other.stdout).toMatch(/^FAILED +services +\S+ is not inventory/m);
});
