import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Snapshot } from "@distributed-messaging/messaging";
import { migrations, payment, topics } from "./ledger.ts";
import { type Machine, World } from "./machine.ts";

const EVERY = 20;
const LONG_MS = 60_000;

interface Machines {
  readonly world: World;
  readonly first: Machine;
  readonly second: Machine;
}

/** Two machines, of which the first leads; the second does not run unless it is said. */
function start(options: { readonly runs: 1 | 2; readonly every?: number }): Machines {
  const world = new World(1, 2, undefined, false, options.every ?? EVERY);
  const [first, second] = world.machines;
  if (first === undefined || second === undefined) throw new Error("too few machines");
  first.start();
  world.pass(500);
  if (options.runs === 2) second.start();
  world.pass(500);
  return { world, first, second };
}

let paid = 0;

/** Pays `count` times, each in a group of its own, and waits for snapshots that are due. */
function pay(world: World, count: number, waitMs = 20_000): void {
  for (let index = 0; index < count; index += 1) {
    const sent = { account: "a", payment: `payment-${paid}`, amount: 1 };
    world.broker.store([payment(paid, sent, world.scheduler.nowMs)]);
    paid += 1;
    world.pass(50);
  }
  world.pass(waitMs);
}

/** What is in a snapshot. */
function read(world: World, { name }: Snapshot, sql: string): unknown[] {
  using database = new Database(world.store.path(name), { readonly: true });
  return database.query(sql).all();
}

const newest = ({ store }: World): Snapshot => {
  const snapshot = store.snapshots().at(-1);
  if (snapshot === undefined) throw new Error("there is no snapshot");
  return snapshot;
};

const setAside = ({ directory }: World) =>
  readdirSync(directory).filter((name) => name.includes("set-aside") && !/-(wal|shm)$/.test(name));

test("a new instance begins with the newest snapshot and the rest of the log: its database is the same, row by row", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, 3 * EVERY);
  pay(world, 3 * EVERY);
  pay(world, 3);
  expect(world.changeLog.start).toBeGreaterThan(0);
  second.destroy(100);
  world.pass(5_000);
  expect(second.replica?.state()).toMatchObject({ role: "following", isCurrent: true, lacks: false });
  expect(second.content()).toBe(first.content());
  expect(setAside(world)).toEqual([]);
  expect(readdirSync(world.directory).filter((name) => name.includes("snapshot-"))).toEqual([]);
  // It can lead.
  first.destroy(LONG_MS);
  world.pass(15_000);
  expect(second.replica?.state().role).toBe("leading");
  const before = second.read("SELECT total FROM accounts")[0]?.total;
  pay(world, 1);
  expect(second.read("SELECT total FROM accounts")).toEqual([{ total: Number(before) + 1 }]);
});

test("a follower makes snapshots, the leader only where no follower does", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, EVERY + 5);
  expect(world.store.snapshots().length).toBe(1);
  // Another one may be needed, if this one is lost.
  expect(world.changeLog.start).toBe(0);
  const seq = Number(second.replica?.state().seq);
  second.crash("for long", 10 * LONG_MS);
  pay(world, EVERY - 5);
  expect(world.store.snapshots().length).toBe(1);
  pay(world, 2 * EVERY);
  expect(world.store.snapshots().length).toBe(2);
  expect(newest(world).seq).toBeGreaterThanOrEqual(seq + EVERY);
  expect(first.replica?.state()).toMatchObject({ role: "leading", snapshot: { seq: newest(world).seq } });
});

test("a snapshot of a leader has none of what an instance has for itself, and none of its triggers while it is followed with", () => {
  const { world, first, second } = start({ runs: 1 });
  using _ = world;
  const withTrigger = {
    name: "counts",
    sql: `CREATE TABLE counts (singleton INTEGER PRIMARY KEY, payments INTEGER NOT NULL) STRICT;
      INSERT INTO counts VALUES (1, 0);
      CREATE TRIGGER count AFTER INSERT ON payments BEGIN UPDATE counts SET payments = payments + 1; END;`,
  };
  first.crash("a newer version", 100);
  world.pass(50);
  first.start([...migrations, withTrigger]);
  world.pass(2_000);
  using database = new Database(first.path);
  database.run("INSERT OR REPLACE INTO ownership VALUES (1, 'file of the service', 4, 'before', 0, 0, 1)");
  pay(world, 2 * EVERY);
  const snapshot = newest(world);
  expect(read(world, snapshot, "SELECT 1 FROM change_log")).toEqual([]);
  expect(read(world, snapshot, "SELECT 1 FROM ownership")).toEqual([]);
  const { seq, epoch, next } = snapshot;
  expect(read(world, snapshot, "SELECT epoch, seq, confirmed, next, led FROM replication")).toEqual([
    { epoch, seq, confirmed: seq, next, led: "" },
  ]);
  second.start([...migrations, withTrigger]);
  pay(world, 5);
  expect(second.content()).toBe(first.content());
  expect(second.read("SELECT 1 FROM sqlite_schema WHERE type = 'trigger'")).toEqual([]);
  first.stop(LONG_MS);
  world.pass(3_000);
  pay(world, 1);
  expect(second.read("SELECT payments FROM counts")).toEqual(
    second.read("SELECT count(*) AS payments FROM payments"),
  );
});

test("no group is in a snapshot that is not confirmed", () => {
  const { world, first } = start({ runs: 1 });
  using _ = world;
  pay(world, 2 * EVERY, 0);
  const confirmed = Number(first.replica?.state().seq);
  first.groupsAreRefused = true;
  pay(world, 3);
  expect(Number(first.replica?.state().seq)).toBeGreaterThan(confirmed);
  expect(world.store.snapshots()).toEqual([]);
  // What is not confirmed may never be: another instance leads without it.
  first.groupsAreRefused = false;
  world.pass(20_000);
  expect(newest(world).seq).toBeLessThanOrEqual(Number(first.replica?.state().seq));
});

test.each(["is unreachable", "takes no claim"])(
  "a former leader whose broker %s offers nothing that is not confirmed, and sets it aside when another leads",
  (broker) => {
    const { world, first, second } = start({ runs: 2 });
    using _ = world;
    second.crash("for long", 10 * LONG_MS);
    pay(world, EVERY + 5, 0);
    first.groupsAreRefused = true;
    pay(world, 3, 0);
    first.crash("with groups that it has not sent", 100);
    first.groupsAreRefused = false;
    if (broker === "is unreachable") world.broker.shutDown();
    else first.claimsAreRefused = true;
    world.pass(LONG_MS);
    expect(first.replica?.state().role).toBe("following");
    const [place] = first.read("SELECT seq, confirmed FROM replication");
    expect(Number(place?.seq)).toBeGreaterThan(Number(place?.confirmed));
    expect(world.store.snapshots()).toEqual([]);
    if (broker === "is unreachable") first.crash("while another leads", 2 * LONG_MS);
    world.broker.startUp();
    second.start();
    world.pass(LONG_MS);
    expect(second.replica?.state().role).toBe("leading");
    world.pass(2 * LONG_MS);
    expect(first.replica?.state()).toMatchObject({ role: "following", lacks: false, isCurrent: true });
    expect(setAside(world).length).toBe(1);
    expect(first.content()).toBe(second.content());
    expect(second.read("SELECT total FROM accounts")).toEqual([{ total: EVERY + 8 }]);
  },
);

test("the log is trimmed to the last but one: the newest may be lost or damaged", () => {
  const { world, first, second } = start({ runs: 1, every: EVERY / 2 });
  using _ = world;
  for (let index = 0; index < 4; index += 1) pay(world, EVERY);
  const kept = world.store.snapshots();
  expect(kept.length).toBe(2);
  expect(world.changeLog.start).toBe(kept[0]?.next ?? -1);
  world.store.damage(newest(world).name);
  second.start();
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  expect(second.replica?.state().lacks).toBe(false);
  second.destroy(100);
  rmSync(world.store.path(newest(world).name));
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  expect(second.replica?.state().lacks).toBe(false);
});

/** The name of a snapshot whose last group is a later one. */
const later = (name: string, by = 1) =>
  name.replace(/_(\d{16})_(\d{16})_(\d{16})_/, (_, epoch: string, seq: string, next: string) => {
    const plus = (number: string) => String(Number(number) + by).padStart(16, "0");
    return `_${epoch}_${plus(seq)}_${plus(next)}_`;
  });

test("what is damaged, of another service or another log, or no snapshot is passed over", () => {
  const { world, first, second } = start({ runs: 1, every: EVERY / 2 });
  using _ = world;
  pay(world, EVERY);
  const { store } = world;
  const { name: real, log: logName, digest } = newest(world);
  const objectOf = (name: string, content: string | Uint8Array) => writeFileSync(store.path(name), content);
  // Of another log, and in order.
  const foreign = join(world.directory, "foreign.sqlite");
  copyFileSync(store.path(real), foreign);
  using database = new Database(foreign);
  database.run("UPDATE accounts SET total = 1000");
  database.run(
    "UPDATE replication SET log = '0123456789ab', seq = seq + 5, confirmed = seq + 5, next = next + 5",
  );
  database.close();
  const bytes = readFileSync(foreign);
  const digestOfForeign = createHash("sha256").update(bytes).digest("hex");
  objectOf(later(real, 5).replace(logName, "0123456789ab").replace(digest, digestOfForeign), bytes);
  objectOf(later(real).replace("ledger", "order"), readFileSync(store.path(real)));
  // Its content is not what its name says.
  objectOf(later(real), readFileSync(store.path(real)));
  objectOf("notes.txt", "hello");
  second.start();
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  expect(second.replica?.state()).toMatchObject({ lacks: false, isCurrent: true });
  expect(second.restored).toBe(1);
});

test.each(["group", "claim"])(
  "of another log, a %s that came late is passed over: the leader goes on, and so does an instance that begins anew",
  (kind) => {
    const { world, first, second } = start({ runs: 2, every: EVERY });
    using _ = world;
    pay(world, 1);
    const last = world.changeLog.records.findLast(({ headers }) => headers.kind === kind);
    if (last === undefined) throw new Error(`there is no ${kind}`);
    const { epoch, seq } = last.headers;
    const next = kind === "claim" ? { epoch: String(Number(epoch) + 1) } : { seq: String(Number(seq) + 1) };
    const before = second.content();
    const stray = { ...last, key: null, headers: { ...last.headers, log: "0123456789ab", ...next } };
    world.broker.store([stray]);
    world.pass(1_000);
    expect(second.content()).toBe(before);
    pay(world, 1);
    world.broker.store([stray, stray]);
    pay(world, 1);
    for (const [machine, role] of [
      [first, "leading"],
      [second, "following"],
    ] as const) {
      expect(machine.replica?.state()).toMatchObject({ role, epoch: Number(epoch), lacks: false });
      expect(machine.read("SELECT total FROM accounts")).toEqual([{ total: 3 }]);
    }
    second.destroy(100);
    world.pass(5_000);
    expect(second.content()).toBe(first.content());
    first.crash("for long", LONG_MS);
    world.pass(10_000);
    expect(second.replica?.state()).toMatchObject({ role: "leading", lacks: false });
    pay(world, 1);
    expect(second.read("SELECT total FROM accounts")).toEqual([{ total: 4 }]);
  },
);

test("what is not whole is none of the snapshots that are kept, and nothing is trimmed for it", () => {
  const { world } = start({ runs: 1, every: EVERY / 2 });
  using _ = world;
  pay(world, EVERY);
  const { name, next, seq } = newest(world);
  writeFileSync(world.store.path(later(name)), "half");
  pay(world, EVERY);
  expect(world.store.snapshots().map((snapshot) => snapshot.seq)).toEqual([seq, newest(world).seq]);
  expect(newest(world).seq).toBeGreaterThan(seq + 1);
  expect(world.changeLog.start).toBe(next);
});

test("an instance that lacks what was removed from the log sets its file aside, and begins with a snapshot", () => {
  const { world, first, second } = start({ runs: 2, every: EVERY / 2 });
  using _ = world;
  pay(world, 5);
  second.crash("for long", 10 * LONG_MS);
  const [before] = second.read("SELECT total FROM accounts");
  for (let index = 0; index < 4; index += 1) pay(world, EVERY);
  expect(world.changeLog.start).toBeGreaterThan(Number(second.read("SELECT next FROM replication")[0]?.next));
  second.start();
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: false, isCurrent: true });
  const [aside, ...others] = setAside(world);
  expect(others).toEqual([]);
  using old = new Database(`${world.directory}/${aside}`, { readonly: true });
  expect(old.query("SELECT total FROM accounts").get()).toEqual(before ?? null);
});

test("without a snapshot that leads to the end of the log an instance does not lead, tries no snapshot twice, and goes on with a later one", () => {
  const { world, first, second } = start({ runs: 1, every: EVERY / 2 });
  using _ = world;
  pay(world, EVERY);
  // As by hand: more than the snapshots have.
  world.broker.trim(world.changeLog, world.changeLog.end - 1);
  second.start();
  world.pass(5 * LONG_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: true, seq: 0 });
  expect(setAside(world)).toEqual([]);
  pay(world, 2 * EVERY, 2 * LONG_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: false, isCurrent: true });
  expect(second.content()).toBe(first.content());
});

test("an instance that lacks something with a snapshot, too, begins once with each", () => {
  const { world, first, second } = start({ runs: 2, every: EVERY / 2 });
  using _ = world;
  for (let index = 0; index < 4; index += 1) pay(world, EVERY);
  first.crash("for long", 10 * LONG_MS);
  world.pass(15_000);
  expect(second.replica?.state().role).toBe("leading");
  // The broker has lost the claim behind the snapshots.
  const all = world.changeLog;
  all.records = all.records.filter(({ headers }) => headers.kind !== "claim");
  pay(world, 1, 0);
  first.start();
  world.pass(1_000);
  expect(first.restored).toBeLessThanOrEqual(2);
  expect(first.replica?.state()).toMatchObject({ role: "following", lacks: true });
  world.pass(5 * LONG_MS);
  const snapshots = world.store.snapshots().filter(({ next }) => next >= all.start).length;
  expect(first.restored).toBe(snapshots);
  // Of one epoch, and none in place of another.
  expect(setAside(world).length).toBe(snapshots);
});

test("while the store fails everything else goes on, and a snapshot is made later", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  world.store.isDown = true;
  pay(world, 3 * EVERY);
  second.destroy(100);
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  expect(world.changeLog.start).toBe(0);
  world.store.isDown = false;
  world.pass(30_000);
  expect(world.store.snapshots().length).toBeGreaterThan(0);
});

test("without the right to delete, snapshots are made, and the log grows", () => {
  const { world, first } = start({ runs: 1, every: EVERY / 2 });
  using _ = world;
  first.mayNotTrim = true;
  for (let index = 0; index < 3; index += 1) pay(world, EVERY);
  const kept = world.store.snapshots();
  expect(kept.length).toBe(2);
  expect(world.changeLog.start).toBe(0);
  first.mayNotTrim = false;
  pay(world, EVERY);
  expect(world.changeLog.start).toBe(kept[1]?.next ?? -1);
});

test("what an instance makes and trims that was paused for long does no harm", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, EVERY - 3, 0);
  // It has made one, and has not yet stored it.
  pay(world, 4, 0);
  const isMade = () => readdirSync(world.directory).some((name) => name.includes(".snapshot-made"));
  for (let passed = 0; passed < 6_000 && !isMade(); passed += 1) world.pass(1);
  expect(isMade()).toBe(true);
  second.pause(3 * LONG_MS);
  for (let index = 0; index < 3; index += 1) pay(world, 2 * EVERY);
  const kept = world.store.snapshots();
  expect(kept.length).toBe(2);
  expect(world.changeLog.start).toBeGreaterThan(0);
  world.pass(3 * LONG_MS);
  const names = (snapshots: readonly Snapshot[]) => snapshots.map(({ name }) => name);
  expect(names(world.store.snapshots())).toEqual(expect.arrayContaining([names(kept)[1] ?? ""]));
  expect(world.store.snapshots().filter(({ next }) => next >= world.changeLog.start).length).toBe(2);
  expect(second.content()).toBe(first.content());
});

test("a follower that ends after a part of a group reads it anew", async () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  const random = Array.from({ length: 250_000 }, () => world.prng.bits().toString(36)).join("");
  first.ask(random).catch(() => {});
  world.pass(2_000);
  const all = world.changeLog;
  const part = all.records.findIndex(({ headers }) => headers.part?.startsWith("1/2") === true);
  const { records, end } = all;
  // The log as it was when only the first part had arrived.
  first.crash("for long", 10 * LONG_MS);
  second.destroy(100);
  all.records = records.slice(0, part + 1);
  all.end = Number(all.records.at(-1)?.offset) + 1;
  world.pass(2_000);
  second.crash("test", 100);
  all.records = records;
  all.end = end;
  world.pass(2_000);
  expect(second.read("SELECT length(request) AS size FROM requests")).toEqual([{ size: random.length }]);
});

/** Deletes the change log, and creates it with nothing in it. */
function recreateLog({ broker }: World): void {
  broker.deleteTopic(topics.changes.name);
  broker.createTopics([topics.changes]);
}

/** The names that records of a kind have. */
const namesOf = (world: World, kind: string) => [
  ...new Set(world.changeLog.records.flatMap(({ headers }) => (headers.kind === kind ? [headers.log] : []))),
];

test("where the log and all instances are lost, each begins with a copy of the last snapshot, and the log has a new name", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, EVERY + 5);
  const { name, seq, log: logName } = newest(world);
  second.crash("with a disk that comes back", LONG_MS);
  const old = join(world.directory, "old.sqlite");
  copyFileSync(second.path, old);
  second.start();
  for (const machine of [first, second]) machine.destroy(LONG_MS);
  recreateLog(world);
  for (const machine of [first, second]) copyFileSync(world.store.path(name), machine.path);
  world.store.lose(name);
  world.pass(LONG_MS + 20_000);
  const leader = [first, second].find(({ replica }) => replica?.state().role === "leading");
  expect(leader?.replica?.state().seq).toBeGreaterThan(seq);
  expect(first.content()).toBe(second.content());
  // What it has not, it reads again: ids make each payment count once.
  expect(first.read("SELECT total FROM accounts")).toEqual([{ total: EVERY + 5 }]);
  // Both have claimed, each with a name: the first one counts.
  const [named, other, ...others] = namesOf(world, "claim");
  expect(other).toBeDefined();
  expect([named, other, ...others]).not.toContain(logName);
  expect(namesOf(world, "group")).toEqual([named]);
  for (const machine of [first, second]) expect(machine.replica?.state().lacks).toBe(false);
  expect(setAside(world)).toEqual([]);
  pay(world, 3 * EVERY);
  second.destroy(100);
  world.pass(5_000);
  expect(second.content()).toBe(first.content());
  // A machine with a file of the old log is recognised.
  second.destroy(LONG_MS);
  copyFileSync(old, second.path);
  world.pass(2 * LONG_MS);
  expect(setAside(world).length).toBe(1);
  expect(second.replica?.state().lacks).toBe(false);
  expect(second.content()).toBe(first.content());
});

test("a file of an old log whose epochs were higher does not lead in a new one, and begins with a snapshot of that", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, 5);
  for (let index = 0; index < 3; index += 1) {
    for (const machine of [first, second]) {
      machine.stop(1_000);
      world.pass(5_000);
    }
  }
  const epoch = Number(second.replica?.state().epoch);
  expect(epoch).toBeGreaterThan(3);
  second.crash("for long", 10 * LONG_MS);
  first.destroy(100);
  recreateLog(world);
  world.pass(5_000);
  expect(first.replica?.state()).toMatchObject({ role: "leading", epoch: 1 });
  second.start();
  world.pass(LONG_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: true });
  expect(first.replica?.state()).toMatchObject({ role: "leading", epoch: 1 });
  pay(world, 2 * EVERY, LONG_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: false, epoch: 1 });
  expect(second.content()).toBe(first.content());
});

test("of two claims on an empty log that are read together, the first names it, also for files of an earlier log", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, 5);
  const [claim] = world.changeLog.records;
  const { epoch, seq } = second.replica?.state() ?? {};
  if (claim === undefined) throw new Error("nobody has claimed");
  first.destroy(10 * LONG_MS);
  second.claimsAreRefused = true;
  recreateLog(world);
  world.pass(2_000);
  const next = { ...claim.headers, epoch: String(Number(epoch) + 1), seq: String(seq) };
  world.broker.store(
    ["aaaaaaaaaaaa", "bbbbbbbbbbbb"].map((name) => ({
      ...claim,
      key: null,
      headers: { ...next, log: name, instance: name },
    })),
  );
  world.pass(2_000);
  expect(second.replica?.state()).toMatchObject({
    role: "following",
    lacks: false,
    epoch: Number(epoch) + 1,
  });
  expect(second.read("SELECT log FROM replication")).toEqual([{ log: "aaaaaaaaaaaa" }]);
  expect(setAside(world)).toEqual([]);
});

test("a file that has more than the one with which a new log begins is set aside", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, EVERY);
  const { name, seq } = newest(world);
  pay(world, 5);
  second.crash("with more groups", LONG_MS);
  expect(Number(second.read("SELECT seq FROM replication")[0]?.seq)).toBeGreaterThan(seq);
  first.destroy(LONG_MS);
  recreateLog(world);
  copyFileSync(world.store.path(name), first.path);
  world.store.lose(name);
  second.claimsAreRefused = true;
  world.pass(LONG_MS + 20_000);
  expect(first.replica?.state().role).toBe("leading");
  expect(setAside(world).length).toBe(1);
  // It begins anew, without what is before the new log.
  pay(world, EVERY, 2 * LONG_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", lacks: false });
  expect(second.content()).toBe(first.content());
});

test("an instance whose earlier version did not know the name of the log learns it from the leader", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, 3);
  const [name] = namesOf(world, "claim");
  second.crash("an older version", 100);
  using database = new Database(second.path);
  database.run("UPDATE replication SET log = ''");
  database.close();
  // The leader only says that it lives.
  world.pass(5_000);
  expect(second.read("SELECT log FROM replication")).toEqual([{ log: name }]);
  first.crash("for long", LONG_MS);
  world.pass(15_000);
  expect(second.replica?.state().role).toBe("leading");
  expect(namesOf(world, "claim")).toEqual([name]);
});

test("a snapshot is found for a log that begins with records of a version without names", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, EVERY + 5);
  const all = world.changeLog;
  all.records = all.records.map((record, index) =>
    index < 5 ? { ...record, headers: { ...record.headers, log: "" } } : record,
  );
  second.destroy(100);
  world.pass(5_000);
  expect(second.restored).toBe(1);
  expect(second.content()).toBe(first.content());
});

test("an instance that misses a group that nobody sends again begins with a snapshot", () => {
  const { world, first, second } = start({ runs: 2 });
  using _ = world;
  pay(world, 5);
  second.crash("for long", 10 * LONG_MS);
  pay(world, 3);
  const all = world.changeLog;
  const lost = all.records.findLast(({ headers }) => headers.kind === "group");
  // The broker has lost it after the leader had read it.
  all.records = all.records.map((record) => (record === lost ? { ...record, headers: {} } : record));
  pay(world, 3, 0);
  second.start();
  world.pass(1_000);
  expect(second.replica?.state()).toMatchObject({ lacks: true, role: "following" });
  pay(world, 2 * EVERY, 2 * LONG_MS);
  expect(second.replica?.state()).toMatchObject({ lacks: false, role: "following", isCurrent: true });
  expect(second.restored).toBe(1);
  expect(setAside(world).length).toBe(1);
  expect(second.content()).toBe(first.content());
});

test.each(["list", "get", "put"] as const)(
  "a store that never answers %s stops nothing, and snapshots are made once it answers",
  (request) => {
    const { world, first, second } = start({ runs: 2 });
    using _ = world;
    world.store.neverAnswers.add(request);
    pay(world, EVERY + 5, LONG_MS);
    second.destroy(100);
    world.pass(2 * LONG_MS);
    expect(second.replica?.state()).toMatchObject({ isRestoring: false, isCurrent: true, lacks: false });
    expect(second.content()).toBe(first.content());
    expect(world.store.snapshots().length).toBe(request === "get" ? 1 : 0);
    world.store.neverAnswers.clear();
    pay(world, EVERY + 5, 15 * LONG_MS);
    expect(world.store.snapshots().length).toBeGreaterThan(0);
    expect(newest(world).seq).toBeGreaterThan(Number(first.replica?.state().seq) - EVERY);
    const left = `${basename(second.path)}.snapshot-`;
    expect(readdirSync(world.directory).filter((name) => name.startsWith(left))).toEqual([]);
  },
);

test.each(["answers", "never answers"])(
  "a stop waits for a snapshot that is made, and not for long: a store that %s",
  (store) => {
    const answers = store === "answers";
    const { world, second } = start({ runs: 2 });
    using _ = world;
    const made = () => readdirSync(world.directory).filter((name) => name.includes(".snapshot-made"));
    pay(world, EVERY + 5);
    if (!answers) world.store.neverAnswers.add("put");
    pay(world, EVERY, 0);
    for (let passed = 0; passed < 20_000 && made().length === 0; passed += 1) world.pass(1);
    expect(made().length).toBe(1);
    second.stop(LONG_MS);
    world.pass(3_000);
    expect(second.replica).toBeUndefined();
    expect(made()).toEqual([]);
    expect(world.store.snapshots().length).toBe(answers ? 2 : 1);
    expect(world.changeLog.start > 0).toBe(answers);
  },
);
