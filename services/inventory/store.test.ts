import { expect, test } from "bun:test";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import type { Waiting } from "./domain.ts";
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
  const waiting: Waiting = {
    status: "waiting",
    orderId: "Y",
    customerId: undefined,
    lines,
    arrival: 7,
    priorityUntil: undefined,
    shortages,
    revision: 4,
  };
  expect(store.reservation("X")).toEqual({ status: "reserved", orderId: "X", lines });
  expect(store.reservation("Y")).toEqual(waiting);
  expect(store.nextWaiting("A", 0, new Map())).toEqual(waiting);
  expect(store.waiting()).toBe(1);
  expect(store.mostAsked("A")).toBe(0);
  const { arrival: _, ...asBefore } = waiting;
  const later = { ...asBefore, orderId: "Z", customerId: "ANN", priorityUntil: 9, revision: 1 };
  store.save({ reservations: [later], left: [], stock: [], messages: [] }, { now: 0 });
  expect(store.nextWaiting("A", 7, new Map())).toEqual({ ...later, arrival: 8 });
  expect(store.firstPriority()).toEqual({ orderId: "Z", priorityUntil: 9 });
  database.close();
});
