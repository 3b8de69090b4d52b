import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { differences } from "./copies.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "copies-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The differences of two instances whose databases these statements make, without the rows. */
function between(service: ServiceName, ...statements: readonly [string, string]): string[] {
  return differences(
    statements.map((sql, index) => {
      const file = join(directory, `${crypto.randomUUID()}.sqlite`);
      using database = new Database(file, { create: true });
      database.run(sql);
      return { name: `${service}-${index + 1}`, service, url: "", file, group: "" };
    }),
  ).map((text) => text.split(":")[0] ?? "");
}

const differ = (service: ServiceName, table: string) => [`${service}-2 and ${service}-1 differ in ${table}`];

test("copies of a replicated service have the same rows, whatever their order", () => {
  const make = "CREATE TABLE stock (product TEXT, count ANY) STRICT;";
  const filled = `${make} INSERT INTO stock VALUES ('A', 1), ('B', x'01');`;
  expect(between("order", filled, `${make} INSERT INTO stock VALUES ('B', x'01'), ('A', 1);`)).toEqual([]);
  for (const other of [
    `${make} INSERT INTO stock VALUES ('A', 1);`,
    `${make} INSERT INTO stock VALUES ('A', 2), ('B', x'01');`,
    `${make} INSERT INTO stock VALUES ('A', 1), ('A', 1), ('B', x'01');`,
    `${make} INSERT INTO stock VALUES ('A', '1'), ('B', x'01');`,
    "CREATE TABLE another (x);",
  ])
    expect(between("order", filled, other)).toContain("order-2 and order-1 differ in stock");
  expect(between("order", make, "CREATE TABLE another (x);")).toHaveLength(2);
});

test("each copy has its own part in the change log, and a sequence that has not begun is none", () => {
  const own = "CREATE TABLE replication (x); CREATE TABLE change_log (x); CREATE TABLE ownership (x);";
  const begun =
    "CREATE TABLE rows (x INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO sqlite_sequence VALUES ('rows', 0);";
  const empty = "CREATE TABLE rows (x INTEGER PRIMARY KEY AUTOINCREMENT);";
  expect(between("order", `${own} ${begun} INSERT INTO replication VALUES (1);`, `${own} ${empty}`)).toEqual(
    [],
  );
  const used = `${empty} INSERT INTO rows VALUES (7); DELETE FROM rows;`;
  expect(between("order", used, empty)).toEqual(differ("order", "sqlite_sequence"));
});

test("of instances that all work, what follows from the topics is compared", () => {
  const make = `CREATE TABLE notifications (seq INTEGER PRIMARY KEY, notification_id ANY, customer_id, order_id, type, message,
    at, partition, "offset", generation); INSERT INTO notifications VALUES`;
  const rows = (seq: number, message: string) =>
    `${make} (${seq}, x'0a', 'C', 'O', 'T', '${message}', 5, 0, 3, 0);`;
  expect(between("notification", rows(1, "M"), rows(9, "M"))).toEqual([]);
  expect(between("notification", rows(1, "M"), rows(1, "N"))).toEqual(
    differ("notification", "notifications"),
  );
  const twice = `${rows(1, "M")} INSERT INTO notifications SELECT 2, notification_id, customer_id, order_id, type, message,
    at, partition, "offset", generation FROM notifications;`;
  expect(between("notification", rows(1, "M"), twice)).toEqual(differ("notification", "notifications"));

  const offsets = (next: number, batches: number) =>
    `CREATE TABLE consumer_offsets (topic, partition, next_offset, batches); INSERT INTO consumer_offsets VALUES ('t', 0, ${next}, ${batches});`;
  expect(between("api-gateway", offsets(4, 1), offsets(4, 2))).toEqual([]);
  expect(between("api-gateway", offsets(4, 1), offsets(5, 1))).toEqual(
    differ("api-gateway", "consumer_offsets"),
  );
  const inbox = (id: string, at: number) =>
    `CREATE TABLE inbox (message_id ANY, handled_at); INSERT INTO inbox VALUES (${id}, ${at});`;
  expect(between("api-gateway", inbox("x'0a'", 1), inbox("x'0a'", 2))).toEqual([]);
  expect(between("api-gateway", inbox("x'0a'", 1), inbox("x'0b'", 1))).toEqual(
    differ("api-gateway", "inbox"),
  );
  // A copy of the whole has these, too.
  expect(between("order", inbox("x'0a'", 1), inbox("x'0a'", 2))).toEqual(differ("order", "inbox"));
  const keys = (key: number) =>
    `CREATE TABLE idempotency_keys (key); INSERT INTO idempotency_keys VALUES (${key});`;
  expect(between("api-gateway", keys(1), keys(2))).toEqual([]);
  expect(between("order", keys(1), keys(2))).toEqual(differ("order", "idempotency_keys"));
  // A table that nobody has described is compared as it is.
  const unknown = (value: number) => `CREATE TABLE unknown (x); INSERT INTO unknown VALUES (${value});`;
  expect(between("api-gateway", unknown(1), unknown(2))).toEqual(differ("api-gateway", "unknown"));
});

test("of a gateway's orders, not what only the one that took them has", () => {
  const orders = (
    seq: number,
    { placedAt = 1, status = 4, own = "" }: { placedAt?: number; status?: number; own?: string } = {},
  ) => `CREATE TABLE orders (seq INTEGER PRIMARY KEY, order_id, customer_id, items, total, currency, placed_at, generation);
    CREATE TABLE order_steps (order_seq, message_id ANY, cause_id ANY, at, type, service, shortages, revision, reason, generation);
    INSERT INTO orders VALUES (${seq}, 'O', 'C', '[]', 1, 'EUR', ${placedAt}, 0);
    INSERT INTO order_steps VALUES (${seq}, x'0a', NULL, 5, ${status}, NULL, NULL, NULL, NULL, 0); ${own}`;
  const own = "INSERT INTO order_steps VALUES (7, x'01', NULL, 1, 0, NULL, NULL, NULL, NULL, NULL);";
  expect(between("api-gateway", orders(1), orders(7, { placedAt: 2, own }))).toEqual([]);
  expect(between("api-gateway", orders(1), orders(1, { status: 5 }))).toEqual(
    differ("api-gateway", "order_steps"),
  );
  const another = "UPDATE orders SET total = 2;";
  expect(between("api-gateway", orders(1), orders(1, { own: another }))).toEqual(
    differ("api-gateway", "orders"),
  );
});
