import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

/** The tables in which a service has what it decided. */
const TABLES: Partial<Record<ServiceName, readonly string[]>> = {
  inventory: ["products", "reservations", "waiting_lines", "priority_windows", "restockings", "timers"],
  order: ["orders", "timers"],
  notification: ["notifications"],
};
const LOST = Object.keys(TABLES) as readonly ServiceName[];
/** Of which there are four. */
const SCARCE = "PRODUCT_005";

describeDrill("services whose newest databases are lost", () => {
  const store = useOwnStore();
  const operator = new Operator(store);
  const path = (name: ServiceName) => join(store.dataDir, `${name}.sqlite`);
  const contentOf = (name: ServiceName) => {
    using database = new Database(path(name), { readonly: true });
    const tables = database
      .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'")
      .all()
      .filter((table) => TABLES[name]?.includes(table.name));
    expect(tables.length).toBeGreaterThan(0);
    // The numbers of notifications have no order over the partitions.
    const columns = name === "notification" ? "hex(notification_id), customer_id, order_id, type" : "*";
    return Object.fromEntries(
      tables.map((table) => [
        table.name,
        database.query(`SELECT ${columns} FROM ${table.name} ORDER BY 1, 2`).all(),
      ]),
    );
  };
  const published = async () => {
    const topics = ["order.events", "inventory.events", "inventory.stock"];
    return Object.assign({}, ...(await Promise.all(topics.map((topic) => store.records.ends(topic)))));
  };

  test(
    "decide again what they had decided, and tell nobody twice",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_recovered");
      const others = await store.signIn("CUSTOMER_others");
      const admin = await store.signIn("ADMIN_recovered", "admin");
      await placed(customer, "before");
      const BACKUP = join(store.dataDir, "backup");
      await operator.follow("Back up and restore", 1, { BACKUP });

      // Who gets the last four depends on the order over all partitions.
      const scarce = Array.from({ length: 8 }, (_, number) => `scarce-${number}`);
      const wanted = [{ productId: SCARCE, quantity: 1 }];
      await Promise.all(scarce.map((orderId) => others.place({ orderId, items: wanted })));
      const since = Array.from({ length: 12 }, (_, number) => `since-${number}`);
      await Promise.all(since.map((orderId) => customer.place(order(orderId))));
      for (const orderId of since) await customer.until(orderId, "confirmed");
      for (const orderId of scarce) await others.until(orderId, "confirmed", "backordered");
      expect((await admin.restock(SCARCE, 1)).status).toBe(202);
      const statuses = async () =>
        (await others.allOrders()).map(({ orderId, status }) => `${orderId} ${status}`).sort();
      await eventually(
        async () => (await statuses()).filter((text) => text.endsWith("confirmed")).length === 5,
        "the restock to serve an order",
      );
      expect((await others.cancel("scarce-0")).status).toBe(202);
      await others.until("scarce-0", "cancelled");
      await untilIdle(store);
      const before = {
        statuses: await statuses(),
        stock: await store.stock(SCARCE),
        published: await published(),
      };

      for (const SERVICE of LOST) {
        await store.process(SERVICE).stop();
        const lost = contentOf(SERVICE);
        for (const end of ["", "-wal", "-shm"]) rmSync(`${path(SERVICE)}${end}`, { force: true });
        await operator.follow("Back up and restore", 2, { SERVICE, BACKUP });
        void store
          .process(SERVICE)
          .start()
          .catch(() => {});
        const says = async () =>
          JSON.stringify(await (await fetch(`${store.url(SERVICE)}/readiness`)).json());
        await eventually(
          async () => (await says()).includes("bun run recover"),
          `${SERVICE} to say what to do`,
        );
        await store.process(SERVICE).stop();
        const older = readFileSync(path(SERVICE));
        const planned = await operator.follow("Recover a service", 1, { SERVICE });
        expect(planned).toMatch(/^0 differences from what was published$[\s\S]*^nothing was changed/m);
        expect(readFileSync(path(SERVICE)).equals(older)).toBe(true);
        const done = await operator.follow("Recover a service", 2, { SERVICE });
        expect(done).toMatch(/^0 differences from what was published$/m);
        expect(contentOf(SERVICE)).toEqual(lost);
        await store.process(SERVICE).start();
        await untilIdle(store);
      }
      // What it had accepted is at the order service; its views of that are made again.
      const SERVICE = "api-gateway";
      await store.process(SERVICE).stop();
      for (const end of ["", "-wal", "-shm"]) rmSync(`${path(SERVICE)}${end}`, { force: true });
      await operator.follow("Back up and restore", 2, { SERVICE, BACKUP });
      const accepted = await operator.follow("Recover a service", 2, { SERVICE });
      expect(accepted).toMatch(/^2\d requests since the backup are known[\s\S]*^0 differences/m);
      await store.process(SERVICE).start();
      await operator.follow("Rebuild a projection", 1, { SERVICE });
      await untilIdle(store);

      expect({
        statuses: await statuses(),
        stock: await store.stock(SCARCE),
        published: await published(),
      }).toEqual(before);
      const owners = await operator.follow("One process for each service", 1);
      expect(owners.match(/ is the service's$/gm)).toHaveLength(serviceNames.length);
      await expectHealthy(store, operator, customer, ["before", ...since]);
      const told = (await others.notifications()).map(({ orderId, type }) => `${orderId} ${type}`);
      expect(new Set(told).size).toBe(told.length);
    },
    DRILL_LIMIT_MS,
  );
});
