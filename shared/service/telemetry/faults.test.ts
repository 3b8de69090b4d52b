import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CONTENT_TYPE, encode, openDatabase } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, Letter, letter, letters } from "../testing/dead-letter-fixture.ts";
import { addMessagingMetrics, addStorageMetrics, createMetrics, type Metrics } from "./metrics.ts";

/* Each metric is moved by the fault, or the work, that it is there for. */

let fixture: DeadLetterFixture;
let metrics: Metrics;
beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  metrics = createMetrics("reader");
  addMessagingMetrics(metrics, fixture.running.messaging);
});
afterEach(() => fixture[Symbol.asyncDispose]());

/** The value of a series, given with its labels: `dead_letters`, `sqlite_file_bytes{file="wal"}`. */
async function value(series: string, of: Metrics = metrics): Promise<number> {
  const [name = "", labels = ""] = series.replace("}", "").split("{");
  const wanted = labels === "" ? [] : labels.split(",");
  const lines = (await of.registry.metrics()).split("\n").filter((line) => line.startsWith(`${name}{`));
  const found = lines.filter((line) => wanted.every((label) => line.includes(label)));
  return found.length === 1 ? Number(found[0]?.split(" ").at(-1)) : Number.NaN;
}

const above = (series: string, bound: number) =>
  eventually(async () => (await value(series)) > bound, `${series} above ${bound}`);

/** A record that the service sends. */
const outgoing = { topic: letters.name, key: "a", value: "{}", headers: { "content-type": CONTENT_TYPE } };
const emit = () => fixture.running.messaging.unitOfWork.run((transaction) => transaction.emitRaw(outgoing));

test("messages: their time by type and outcome", async () => {
  const one = encode(Letter, letter("a", "1"));
  const records = [one, one, encode(Letter, letter("b", "poison")), { ...outgoing, key: "c" }];
  for (const record of records) await fixture.broker.publish([record]);
  const count = (type: string, outcome: string) =>
    value(`messaging_process_duration_seconds_count{type="${type}",outcome="${outcome}"}`);
  await eventually(() => fixture.running.messaging.deadLetters.count() === 2, "two dead letters");
  await eventually(async () => (await count(Letter.type, "duplicate")) === 1, "the duplicate");
  expect(await count(Letter.type, "handled")).toBe(1);
  expect(await count(Letter.type, "parked")).toBe(1);
  // Nothing that a sender writes becomes a label.
  expect(await count("other", "parked")).toBe(1);
  expect(
    await value(`messaging_process_duration_seconds_sum{type="${Letter.type}",outcome="handled"}`),
  ).toBeGreaterThan(0);
  fixture.parts.refused.delete("poison");
  const dead = fixture.running.messaging.deadLetterAdmin.list({ limit: 10 });
  const poison = dead.find(({ key }) => key === "b");
  expect((await fixture.ask("POST", `/${poison?.id}/replay`)).status).toBe(200);
  // A replay counts like a message from the broker.
  expect(await count(Letter.type, "handled")).toBe(2);
});

test("dead letters: the age of the oldest", async () => {
  expect(await value("dead_letters_oldest_age_seconds")).toBe(0);
  const [id] = await fixture.park(letter("a", "poison"));
  await above("dead_letters_oldest_age_seconds", 0);
  const first = await value("dead_letters_oldest_age_seconds");
  await above("dead_letters_oldest_age_seconds", first);
  await fixture.ask("DELETE", `/${id}`, { reason: "done" });
  expect(await value("dead_letters")).toBe(0);
  expect(await value("dead_letters_oldest_age_seconds")).toBe(0);
});

test("the relay: sends that fail while the broker is away, and those that are acknowledged", async () => {
  await emit();
  await above("outbox_send_duration_seconds_count", 0);
  expect(await value("outbox_send_failures_total")).toBe(0);
  fixture.isBrokerDown = true;
  await emit();
  await above("outbox_send_failures_total", 0);
  await above("outbox_oldest_age_seconds", 0);
  await Promise.all([emit(), emit()]);
  fixture.isBrokerDown = false;
  await eventually(() => fixture.running.messaging.outbox.depth() === 0, "the outbox to be empty");
  const acknowledged =
    (await value("outbox_send_duration_seconds_count")) - (await value("outbox_send_failures_total"));
  expect(acknowledged).toBeGreaterThan(1);
  // Those that had waited went together.
  expect(await value("outbox_send_batch_size_sum")).toBeGreaterThan(
    await value("outbox_send_batch_size_count"),
  );
});

test("a message that the broker refuses: since when it is parked", async () => {
  expect(await value("outbox_parked_oldest_age_seconds")).toBe(0);
  await fixture.running.messaging.unitOfWork.run(({ now }) => {
    fixture.database.sql.run(
      "INSERT INTO parked_outgoing (topic, key, value, headers, created_at, reason, error, parked_at) VALUES ('letters', 'a', x'00', '{}', ?1, 'record', 'too large', ?1)",
      [now],
    );
  });
  await above("outbox_parked_oldest_age_seconds", 0);
});

test("units of work: how many are committed together, and those that the disk refuses", async () => {
  const { unitOfWork } = fixture.running.messaging;
  // After what the start has queued.
  await unitOfWork.run(() => {});
  const figures = () => Promise.all(["sum", "count"].map((part) => value(`unit_of_work_group_size_${part}`)));
  // On a busy machine, a group that takes too long leaves some to the next one.
  await eventually(async () => {
    const [size = 0, groups = 0] = await figures();
    await Promise.all([1, 2, 3].map(() => unitOfWork.run(() => {})));
    const [sizeAfter, groupsAfter] = await figures();
    expect(sizeAfter).toBe(size + 3);
    return groupsAfter === groups + 1;
  }, "three units of work in one group");
  expect(await value("unit_of_work_failures_total")).toBe(0);
  fixture.database.sql.run("PRAGMA max_page_count = 1");
  const full = unitOfWork.run(() => {
    fixture.database.sql.run("CREATE TABLE filler (bytes BLOB)");
    fixture.database.sql.run("INSERT INTO filler VALUES (zeroblob(1000000))");
  });
  expect(
    await full.then(
      () => "stored",
      (error: Error) => error.name,
    ),
  ).toBe("StorageError");
  expect(await value("unit_of_work_failures_total")).toBe(1);
  fixture.database.sql.run("PRAGMA max_page_count = 1000000");
});

test("timers: those that are late, and how late", async () => {
  const dueAt = Date.now() + 3_600_000;
  await fixture.running.messaging.unitOfWork.run((transaction) =>
    transaction.setTimer({ name: "remind", key: "a", dueAt }),
  );
  expect([await value("timers_late"), await value("timers_oldest_late_seconds")]).toEqual([0, 0]);
  // The service sleeps, and has not noticed yet that its clock was set.
  fixture.aheadMs = 3_600_000 + 10_000;
  expect(await value("timers_late")).toBe(1);
  expect(await value("timers_oldest_late_seconds")).toBeGreaterThan(9);
});

test("the event loop: what blocks it", async () => {
  await Bun.sleep(0);
  const until = performance.now() + 500;
  await eventually(async () => {
    while (performance.now() < until);
    return (await value("nodejs_eventloop_lag_max_seconds")) > 0.1;
  }, "the delay of the event loop");
});

test("the disk: size of the database and its log, and what is free", async () => {
  const folder = mkdtempSync(join(tmpdir(), "metrics-"));
  const path = join(folder, "reader.sqlite");
  const database = openDatabase(path);
  const disk = createMetrics("reader");
  addStorageMetrics(disk, path, folder);
  const database0 = await value('sqlite_file_bytes{file="database"}', disk);
  database.sql.run("CREATE TABLE filler (bytes BLOB)");
  database.sql.run("INSERT INTO filler VALUES (zeroblob(1000000))");
  expect(await value('sqlite_file_bytes{file="wal"}', disk)).toBeGreaterThan(1_000_000);
  database.sql.run("PRAGMA wal_checkpoint(TRUNCATE)");
  expect(await value('sqlite_file_bytes{file="wal"}', disk)).toBe(0);
  expect(await value('sqlite_file_bytes{file="database"}', disk)).toBeGreaterThan(database0 + 1_000_000);
  const free = await value("data_directory_free_bytes", disk);
  expect(free).toBeGreaterThan(0);
  expect(await value("data_directory_size_bytes", disk)).toBeGreaterThanOrEqual(free);
  database.close();
  rmSync(folder, { recursive: true });
  expect(await value("data_directory_free_bytes", disk)).toBeNaN();
});
