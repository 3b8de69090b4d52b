import { expect, test } from "bun:test";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import { migrations } from "./migrations/index.ts";
import { NotificationStore } from "./store.ts";

const notification = (notificationId: string, at: string) => ({
  ...({ notificationId, at, orderId: "A", type: "order.confirmed", message: "It is confirmed." } as const),
});
/** Ids and times as they usually are, and in other forms. */
const notifications = [
  notification("0198c0de-0000-7000-8000-000000000001", "2026-11-26T03:28:48.237Z"),
  notification("0198C0DE-0000-7000-8000-000000000002", "2026-11-26T03:28:48Z"),
  notification("an id of its own", "2026-11-26T04:28:48.237+01:00"),
  notification("0198c0de-0000-7000-8000-000000000003", "1969-12-31T23:59:59.999Z"),
  notification("0198c0de-0000-7000-8000-000000000004", "2026-11-26T03:28:48.2379Z"),
];
const numbered = notifications.map((each, index) => ({ ...each, seq: index + 1 }));
/** Where the event of each is. */
const event = { customerId: "ANN", partition: 0, offset: 0 };
/** What a store has of a customer, but for the cursors. */
const storedOf = (store: NotificationStore, customerId: string) =>
  store.after(customerId, "0", 100).map(({ cursor: _, ...notification }) => notification);

test("notifications are returned as they were stored, each once", () => {
  const database = openDatabase(":memory:");
  migrate(database, "notification", migrations);
  const store = new NotificationStore(database);
  for (const each of [...notifications, ...notifications]) store.add({ ...each, ...event });
  // Numbers that were given to the second ones are left out.
  expect(storedOf(store, "ANN")).toEqual(numbered);
  expect(storedOf(store, "BOB")).toEqual([]);
  database.close();
});

test("those of a file of the version before are kept, with their numbers", () => {
  const database = openDatabase(":memory:");
  migrate(database, "notification", migrations.slice(0, 2));
  for (const { notificationId, orderId, type, message, at } of [
    ...notifications,
    notification("last", "x"),
  ]) {
    database.sql.run(
      `INSERT INTO notifications (notification_id, customer_id, order_id, type, message, at, generation)
       VALUES (?, 'ANN', ?, ?, ?, ?, 1)`,
      [notificationId, orderId, type, message, at],
    );
  }
  database.sql.run("DELETE FROM notifications WHERE notification_id = 'last'");
  migrate(database, "notification", migrations);
  const store = new NotificationStore(database);
  expect(storedOf(store, "ANN")).toEqual(numbered);
  for (const each of notifications) store.add({ ...each, ...event });
  expect(storedOf(store, "ANN")).toEqual(numbered);
  const types = database.sql.query(
    "SELECT DISTINCT typeof(notification_id) AS id, typeof(at) AS at FROM notifications ORDER BY seq LIMIT 2",
  );
  expect(types.all()).toEqual([
    { id: "blob", at: "integer" },
    { id: "text", at: "text" },
  ]);
  // The number of the one that was deleted is not used again.
  store.add({
    ...notification("0198c0de-0000-7000-8000-000000000005", "2026-11-26T03:28:49.000Z"),
    ...event,
  });
  expect(storedOf(store, "ANN").at(-1)?.seq).toBeGreaterThan(notifications.length + 1);
  database.close();
});
