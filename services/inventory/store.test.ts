import { expect, test } from "bun:test";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import { migrations } from "./migrations/index.ts";
import { InventoryStore } from "./store.ts";

test("a database of the first version keeps its reservations and its wait queue", () => {
  const database = openDatabase(":memory:");
  migrate(database, "inventory", migrations.slice(0, 1));
  const lines = [{ productId: "A", quantity: 2 }];
  const shortages = [{ productId: "A", missing: 1 }];
  database.sql.run(
    `INSERT INTO reservations (arrival, order_id, status, lines, shortages, revision, lane_id) VALUES
     (3, 'X', 'reserved', ?, NULL, NULL, NULL), (7, 'Y', 'waiting', ?, ?, 4, 1)`,
    [JSON.stringify(lines), JSON.stringify(lines), JSON.stringify(shortages)],
  );
  database.sql.run("INSERT INTO waiting_lanes VALUES (1, 'A', 7, 'A')");
  database.sql.run("INSERT INTO waiting_lines VALUES ('A', 7, 2)");
  database.sql.run("INSERT INTO waiting_peaks VALUES ('A', 1, 0, 2), ('A', 2, 0, 2)");

  migrate(database, "inventory", migrations);
  const store = new InventoryStore(database);
  const waiting = { status: "waiting", orderId: "Y", lines, arrival: 7, shortages, revision: 4 } as const;
  expect(store.reservation("X")).toEqual({ status: "reserved", orderId: "X", lines });
  expect(store.reservation("Y")).toEqual(waiting);
  expect(store.nextWaiting("A", 0, new Set())).toEqual(waiting);
  expect(store.waiting()).toBe(1);
  const later = { ...waiting, orderId: "Z", revision: 1 };
  store.save({ reservations: [later], left: [], stock: [], messages: [] }, { now: 0 });
  expect(store.nextWaiting("A", 7, new Set())).toEqual({ ...later, arrival: 8 });
  database.close();
});
