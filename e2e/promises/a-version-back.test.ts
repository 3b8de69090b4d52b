import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { service as order } from "@distributed-messaging/order/service";
import { forEachService, type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { type Ports, ROOT, type StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { makeNewerVersion } from "../support/newer-version.ts";
import { describeOwn } from "../support/own-store.ts";
import { runToEnd } from "../support/run-to-end.ts";
import { Store } from "../support/store.ts";

const LIMIT_MS = 180_000;
const PRODUCT = "PRODUCT_009";

/** The newer version is a copy of what is in version control. */
const describeSlow = process.env.SLOW_TESTS === "true" ? describeOwn : describe.skip;

describeSlow("a version back, and forward again", () => {
  const folder = mkdtempSync(join(tmpdir(), "a-version-back-"));
  const newerRoot = join(folder, "newer");
  const dataDir = join(folder, "data");
  let ports: Ports | undefined;
  let running: StoreSupervisor | undefined;

  /** Starts the store of a version, on the data and the ports of the one before it, once that has stopped. */
  async function start(root: string): Promise<StoreSupervisor> {
    await running?.stopAll();
    const version: typeof import("@distributed-messaging/supervisor/store") = await import(
      join(root, "services/supervisor/store.ts")
    );
    const env = { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn" };
    running = new version.StoreSupervisor({ dataDir, env, ...(ports === undefined ? {} : { ports }) });
    ports = running.ports;
    await running.startAll();
    return running;
  }

  beforeAll(() => {
    makeNewerVersion(newerRoot);
  }, LIMIT_MS);
  afterAll(async () => {
    await running?.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  /** The reasons of the dead letters. */
  const parked = (name: ServiceName) => {
    using database = new Database(join(dataDir, `${name}.sqlite`), { readonly: true });
    return database.query("SELECT reason FROM dead_letters").values().flat();
  };

  test(
    "what the newer version sent waits while the older one runs, and the newer one goes on with all of it, in order",
    async () => {
      const newer = await start(newerRoot);
      const store = new Store({
        addresses: forEachService((name) => newer.url(name)),
        brokers: newer.brokers,
        isFresh: true,
      });
      await store.seed();
      const { available } = await store.stock(PRODUCT);
      const customer = await store.signIn("CUSTOMER_001");
      const place = async () =>
        (await customer.place({ items: [{ productId: PRODUCT, quantity: 1 }] })).orderId;

      const handled = await place();
      await customer.until(handled, "confirmed");
      await Promise.all((["inventory", "notification"] as const).map((name) => newer.process(name).stop()));
      const waiting = [await place(), await place(), await place()];
      const [cancelled = "", ...confirmed] = waiting;
      for (const id of waiting) await customer.until(id, "pending");
      await customer.cancel(cancelled);
      await customer.until(cancelled, "cancelled");

      await start(ROOT);
      await eventually(() => {
        for (const name of ["inventory", "notification"] as const) {
          expect(parked(name).toSorted()).toEqual(["blocked", ...waiting.map(() => "newer-version")]);
        }
        return true;
      }, "the messages of the newer version to be kept");
      const meanwhile = await place();
      await customer.until(meanwhile, "confirmed");
      for (const id of confirmed) expect((await customer.order(id)).status).toBe("pending");

      await start(newerRoot);
      for (const id of [handled, meanwhile, ...confirmed]) await customer.until(id, "confirmed");
      await eventually(() => {
        for (const name of serviceNames) expect({ name, parked: parked(name) }).toEqual({ name, parked: [] });
        return true;
      }, "nothing to be parked");
      expect((await customer.order(cancelled)).status).toBe("cancelled");
      await eventually(async () => (await store.stock(PRODUCT)).available === available - 4, "the stock");
      // In the order in which they were sent, each once.
      for (const [id, ...types] of [
        [cancelled, "order.received", "order.cancelled"],
        [meanwhile, "order.received", "order.confirmed"],
        ...confirmed.map((one) => [one, "order.received", "order.confirmed"] as const),
      ] as const) {
        await eventually(
          async () => Bun.deepEquals(await customer.notificationTypes(id), types),
          `the notifications of ${id}`,
        );
      }
    },
    LIMIT_MS,
  );
});

describeOwn("a version back over a change", () => {
  const folder = mkdtempSync(join(tmpdir(), "a-version-back-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test(
    "the older version does not start on a table that the newer one has changed, says so, and changes nothing",
    async () => {
      const DATA_DIR = join(folder, "changed");
      const path = join(DATA_DIR, "order.sqlite");
      const database = openDatabase(path);
      const change = { name: "channels", sql: "ALTER TABLE orders RENAME COLUMN reason TO why" };
      migrate(database, order.name, [...order.migrations, change]);
      database.close();
      const contents = () => {
        using file = new Database(path, { readonly: true });
        return [
          file.query("SELECT * FROM sqlite_schema").all(),
          file.query("SELECT * FROM migrations").all(),
        ];
      };
      const before = contents();
      const { exitCode, stdout, stderr } = await runToEnd(
        [process.execPath, join(ROOT, "services/order/main.ts")],
        {
          cwd: ROOT,
          env: { DATA_DIR, ORDER_PORT: "0", TMPDIR: tmpdir() },
        },
      );
      expect(exitCode).toBe(1);
      expect(stdout + stderr).toContain(
        'of the order schema was applied as "channels", this version has no such step, and cannot work with it: ' +
          "start the version that applied it, or a later one",
      );
      expect(contents()).toEqual(before);
    },
    LIMIT_MS,
  );
});
