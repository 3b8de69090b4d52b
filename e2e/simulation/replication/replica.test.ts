import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import {
  migrate,
  NotOwner,
  type OutgoingRecord,
  openDatabase,
  StorageError,
} from "@distributed-messaging/messaging";
import { CHANGE_LOG, kitMigrations } from "@distributed-messaging/messaging/internal";
import { migrations, owners, payment, SERVICE, topics, versions } from "./ledger.ts";
import { type Machine, World } from "./machine.ts";

/** How long a follower takes to lead after a crash of the leader, and after its stop in good order: virtual milliseconds. */
const AFTER_CRASH_MS = 10_000;
const AFTER_STOP_MS = 2_000;
const LONG_MS = 60_000;

function start(
  machines: number,
  seed = 1,
): {
  readonly world: World;
  readonly all: readonly [Machine, Machine, ...Machine[]];
} {
  const world = new World(seed, machines);
  const [first, second, ...others] = world.machines;
  if (first === undefined || second === undefined) throw new Error("too few machines");
  first.start();
  world.pass(500);
  for (const machine of [second, ...others]) machine.start();
  world.pass(500);
  return { world, all: [first, second, ...others] };
}

const roles = ({ machines }: World) => machines.map(({ replica }) => replica?.state().role);

/** Pays `count` times, one after the other. */
function pay(world: World, from: number, count: number, account = "a"): void {
  for (let index = from; index < from + count; index += 1) {
    world.broker.store([
      payment(index, { account, payment: `payment-${index}`, amount: 1 }, world.scheduler.nowMs),
    ]);
  }
}

/** What a promise has become, after some time. */
async function settled(world: World, promise: Promise<unknown>, withinMs = 1_000): Promise<unknown> {
  let result: unknown = "pending";
  promise.then(
    () => {
      result = "resolved";
    },
    (error: unknown) => {
      result = error;
    },
  );
  world.pass(withinMs);
  return result;
}

test("one instance leads, the other has its database, and leads at once when it stops", () => {
  const { world, all } = start(2);
  using _ = world;
  expect(roles(world)).toEqual(["leading", "following"]);
  pay(world, 0, 20);
  world.pass(1_000);
  const [first, second] = all;
  expect(first.read("SELECT total FROM accounts")).toEqual([{ total: 20 }]);
  expect(second.content()).toBe(first.content());
  first.stop(LONG_MS);
  world.pass(AFTER_STOP_MS);
  expect(second.replica?.state().role).toBe("leading");
  pay(world, 20, 1);
  world.pass(1_000);
  expect(second.read("SELECT total FROM accounts")).toEqual([{ total: 21 }]);
});

test("a leader that has stopped in good order follows with the file that it had", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  for (const [from, leader, other] of [
    [0, first, second],
    [5, second, first],
  ] as const) {
    pay(world, from, 5);
    world.pass(1_000);
    const { path } = leader;
    leader.stop(AFTER_STOP_MS);
    world.pass(AFTER_STOP_MS - 500);
    expect(other.replica?.state().role).toBe("leading");
    world.pass(2_000);
    expect(leader.path).toBe(path);
    expect(leader.replica?.state().role).toBe("following");
    expect(leader.content()).toBe(other.content());
  }
  expect(readdirSync(world.directory).filter((name) => name.includes("set-aside"))).toEqual([]);
});

test("a leader that stops hands over before it has left its consumer group, and knows who leads then", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  first.leavesGroupMs = LONG_MS;
  expect(first.replica?.state().leader).toBe(first.address);
  first.stop(LONG_MS);
  world.pass(AFTER_STOP_MS);
  expect(roles(world)).toEqual(["released", "leading"]);
  expect(first.replica?.state().leader).toBe(second.address);
  const before = first.content();
  pay(world, 0, 1);
  world.pass(1_000);
  expect(second.read("SELECT total FROM accounts")).toEqual([{ total: 1 }]);
  expect(first.content()).toBe(before);
});

test("a leader that has ended is asked for nothing more, also where nobody leads after it yet", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  second.claimsAreRefused = true;
  first.stop(LONG_MS);
  world.pass(AFTER_STOP_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", leader: undefined });
  second.claimsAreRefused = false;
  world.pass(AFTER_STOP_MS);
  expect(second.replica?.state()).toMatchObject({ role: "leading", leader: second.address });
});

test("the only instance stops although nobody leads after it, and leads when it is started", () => {
  const world = new World(1, 1);
  using _ = world;
  const [only] = world.machines;
  only?.start();
  world.pass(500);
  pay(world, 0, 1);
  world.pass(1_000);
  only?.stop(100);
  world.pass(AFTER_STOP_MS);
  expect(roles(world)).toEqual(["leading"]);
  expect(only?.read("SELECT total FROM accounts")).toEqual([{ total: 1 }]);
});

test("after a crash of the leader a follower leads, and one that comes back follows it", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  first.crash("test", 2 * AFTER_CRASH_MS);
  pay(world, 0, 5);
  world.pass(AFTER_CRASH_MS);
  expect(second.replica?.state().role).toBe("leading");
  world.pass(2 * AFTER_CRASH_MS);
  expect(roles(world)).toEqual(["following", "leading"]);
  expect(first.content()).toBe(second.content());
});

test("an instance whose leader was itself leads at once after a crash", () => {
  const { world, all } = start(2);
  using _ = world;
  all[0].crash("test", 100);
  world.pass(1_500);
  expect(roles(world)).toEqual(["leading", "following"]);
});

test("an instance without a disk is built from the log", () => {
  const { world, all } = start(2);
  using _ = world;
  pay(world, 0, 5);
  world.pass(1_000);
  const [first, second] = all;
  second.destroy(100);
  world.pass(1_000);
  expect(second.content()).toBe(first.content());
});

test("nothing is answered or sent that is not in the log; a stop does not wait for it", async () => {
  const { world, all } = start(2);
  using _ = world;
  const [first] = all;
  pay(world, 0, 1);
  world.broker.shutDown();
  const request = first.ask("request");
  expect(await settled(world, request, 20_000)).toBe("pending");
  // It is in the file all the same.
  expect(first.read("SELECT request FROM requests")).toEqual([{ request: "request" }]);
  first.stop(100);
  const outcome = await settled(world, request, 3_000);
  expect(outcome).toBeInstanceOf(StorageError);
  world.broker.startUp();
  world.pass(AFTER_CRASH_MS);
  expect(first.replica?.state()).toMatchObject({ role: "leading" });
  world.pass(1_000);
  expect(all[1].content()).toBe(first.content());
  expect(all[1].read("SELECT request FROM requests")).toEqual([{ request: "request" }]);
});

test("what the broker has acknowledged is not confirmed before it was read in the log", async () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  first.readsNothing = true;
  // The other has it, so the broker does.
  const request = first.ask("request");
  expect(await settled(world, request, 2_000)).toBe("pending");
  expect(second.read("SELECT request FROM requests")).toEqual([{ request: "request" }]);
});

const told = ({ broker }: World) =>
  broker.partitionsOf(topics.balances.name).flatMap(({ records }) => records).length;

test("messages wait in the outbox until the log has their group", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first] = all;
  first.groupsAreRefused = true;
  pay(world, 0, 1);
  // The relay looks for messages without being woken, too.
  world.pass(3_000);
  expect(first.read("SELECT count(*) AS waiting FROM outbox")).toEqual([{ waiting: 1 }]);
  expect(told(world)).toBe(0);
  first.groupsAreRefused = false;
  world.pass(1_000);
  expect(told(world)).toBe(1);
});

test("what a group changed is in the file with it, also if the process ends right after that", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first] = all;
  const seqs: unknown[] = [];
  first.committed = () => {
    const [row] = first.read("SELECT max(seq) AS seq FROM change_log");
    seqs.push(row?.seq);
  };
  pay(world, 0, 3);
  world.pass(1_000);
  expect(seqs.length).toBeGreaterThan(0);
  expect(seqs.at(-1)).toBe(first.replica?.state().seq);
});

test("what a kit stores when it is made is in the log, also if the process ends before anything else is stored", () => {
  using world = new World(1, 2);
  const [first, second] = world.machines;
  if (first === undefined || second === undefined) throw new Error("too few machines");
  first.start();
  while (first.kit === undefined) world.scheduler.step();
  first.crash("test", 100);
  world.pass(AFTER_CRASH_MS);
  second.start();
  world.pass(1_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(second.read("SELECT * FROM inbox_horizon")).toEqual(first.read("SELECT * FROM inbox_horizon"));
  expect(second.content()).toBe(first.content());
});

test("with a group what it emitted may be sent, and not what the next one did", () => {
  // Whether the next one is stored before the first one is read back differs.
  for (let seed = 1; seed <= 6; seed += 1) {
    const { world, all } = start(2, seed);
    using _ = world;
    const [first, second] = all;
    const payments = (machine: Machine) => machine.read("SELECT payment FROM payments").length;
    const groups = () => world.changes("group").length;
    const before = groups();
    pay(world, 0, 1, "a");
    while (groups() === before) world.pass(0.1);
    first.groupsAreRefused = true;
    pay(world, 1, 1, "c");
    world.pass(500);
    expect([payments(first), payments(second), told(world)]).toEqual([2, 1, 1]);
  }
});

test("an instance leads once the log has what its file had before, and sends nothing until then", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first] = all;
  first.groupsAreRefused = true;
  pay(world, 0, 1);
  world.pass(500);
  first.crash("test", 100);
  world.pass(2_500);
  expect(first.replica?.state().role).toBe("leading");
  expect(first.kit).toBeUndefined();
  expect(told(world)).toBe(0);
  first.groupsAreRefused = false;
  world.pass(2_000);
  expect(first.kit).toBeDefined();
  expect(told(world)).toBe(1);
  expect(all[1].content()).toBe(first.content());
});

test("a group is applied after the one before it only", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  pay(world, 0, 1);
  world.pass(1_000);
  const group = world.changes("group").at(-1);
  if (group === undefined) throw new Error("there is no group");
  const seq = Number(group.headers.seq);
  // As when the group before it were lost by the broker.
  world.broker.store([{ ...group, key: null, headers: { ...group.headers, seq: String(seq + 2) } }]);
  world.pass(500);
  expect(second.replica?.state()).toMatchObject({ seq, lacks: true });
  // However long it is missing.
  world.pass(LONG_MS);
  expect(second.replica?.state().lacks).toBe(true);
  pay(world, 1, 3);
  world.pass(1_000);
  expect(first.read("SELECT total FROM accounts")).toEqual([{ total: 4 }]);
  expect(second.content()).toBe(first.content());
  expect(second.replica?.state().lacks).toBe(false);
});

test("of two claims to lead with one epoch the first counts", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  pay(world, 0, 1);
  world.pass(1_000);
  const [claim] = world.changes("claim");
  const headers = { ...claim?.headers, instance: "late", address: "http://late" };
  world.broker.store([{ topic: topics.changes.name, key: null, value: null, headers }]);
  pay(world, 1, 1);
  world.pass(1_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(second.replica?.state()).toMatchObject({ leader: first.address, epoch: 1 });
  expect(second.read("SELECT total FROM accounts")).toEqual([{ total: 2 }]);
});

test("a group of a deposed leader that comes late is applied by nobody", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  const before = world.changes("group").length;
  pay(world, 0, 1);
  world.pass(1_000);
  // It has the balance of then.
  const late = world.changes("group")[before];
  pay(world, 1, 1);
  world.pass(1_000);
  first.crash("test", AFTER_CRASH_MS);
  world.pass(2 * AFTER_CRASH_MS);
  expect(roles(world)).toEqual(["following", "leading"]);
  const headers = { ...late?.headers, seq: String(Number(world.changes("group").at(-1)?.headers.seq) + 1) };
  world.broker.store([{ topic: topics.changes.name, key: null, value: late?.value ?? null, headers }]);
  world.pass(1_000);
  pay(world, 2, 1);
  world.pass(1_000);
  expect(roles(world)).toEqual(["following", "leading"]);
  expect(first.read("SELECT total FROM accounts")).toEqual([{ total: 3 }]);
  expect(first.content()).toBe(second.content());
});

test("an instance that reads its own claim and another one together stores nothing, and follows that one", async () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  pay(world, 0, 5);
  world.pass(1_000);
  first.crash("test", 100);
  while (world.changeLog.records.at(-1)?.headers.epoch !== "2") world.scheduler.step();
  first.pause(AFTER_CRASH_MS);
  while (first.replica?.state().role !== "deposed") world.scheduler.step();
  expect(second.replica?.state()).toMatchObject({ role: "leading", epoch: 3 });
  // What it does until its process has ended.
  const { sql, replication } = await first.replica.leads();
  const work = sql.transaction(() => {
    sql.run("INSERT INTO requests VALUES ('of the one that is deposed')");
    replication?.store();
  });
  expect(work).toThrow(NotOwner);
  expect(first.kit).toBeUndefined();
  world.pass(3_000);
  pay(world, 5, 3);
  world.pass(1_000);
  expect(roles(world)).toEqual(["following", "leading"]);
  expect(first.content()).toBe(second.content());
});

test("a leader that was paused for longer than its followers wait stops at once, and nothing of it is seen", async () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  const { replica: paused, ask } = first;
  first.pause(AFTER_CRASH_MS);
  const request = ask("of the paused one");
  world.pass(AFTER_CRASH_MS - 1);
  expect(second.replica?.state().role).toBe("leading");
  expect(await settled(world, request, 500)).toBeInstanceOf(NotOwner);
  expect(paused?.state().role).not.toBe("leading");
  // Its process starts again, and sets aside what it had stored.
  world.pass(3_000);
  expect(readdirSync(world.directory).filter((name) => name.includes("set-aside")).length).toBeGreaterThan(0);
  expect(roles(world)).toEqual(["following", "leading"]);
  expect(first.replica?.state().lacks).toBe(false);
  expect(first.content()).toBe(second.content());
  expect(second.read("SELECT request FROM requests")).toEqual([]);
});

/** The record with which a process on a file claims the service, without a change log. */
const claimOfFile = (file: string, epoch: number): OutgoingRecord => ({
  topic: owners.name,
  key: "claim",
  value: JSON.stringify({
    ...{ kind: "claim", file, epoch, instance: "before", place: "elsewhere", since: 0, age: 0 },
    released: true,
  }),
  headers: {},
});

const lastOwner = ({ broker }: World) => {
  const value = broker.partitionsOf(owners.name)[0]?.records.at(-1)?.value ?? new Uint8Array();
  return JSON.parse(Buffer.from(value).toString()) as { file: string; epoch: number };
};

test("until its content is in the log, only the instance with the file of the service leads; then the log is the owner", () => {
  using world = new World(1, 2, undefined, true);
  const [old, empty] = world.machines;
  const database = openDatabase(old?.path ?? "", { synchronous: "OFF" });
  migrate(database, SERVICE, migrations);
  migrate(database, "messaging", kitMigrations);
  database.sql.run("INSERT INTO accounts VALUES ('a', 7)");
  database.sql.run("INSERT INTO ownership VALUES (1, 'file of the service', 4, 'before', 0, 0, 1)");
  database.close();
  world.broker.store([claimOfFile("file of the service", 4)]);
  empty?.start();
  world.pass(LONG_MS);
  expect(empty?.replica?.state()).toMatchObject({ role: "following", epoch: 0, isForeign: true });
  old?.start();
  world.pass(2_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(lastOwner(world)).toMatchObject({ file: CHANGE_LOG, epoch: 5 });
  expect(empty?.replica?.state()).toMatchObject({ isForeign: false });
  expect(empty?.content()).toBe(old?.content() ?? "");
  old?.destroy(LONG_MS);
  world.pass(AFTER_CRASH_MS);
  expect(empty?.replica?.state().role).toBe("leading");
  expect(empty?.read("SELECT total FROM accounts")).toEqual([{ total: 7 }]);
});

test("an instance that is told to take over leads in place of a file that is lost, and of no later owner", () => {
  using world = new World(1, 2, undefined, true);
  const [given] = world.machines;
  const database = openDatabase(given?.path ?? "", { synchronous: "OFF" });
  migrate(database, SERVICE, migrations);
  migrate(database, "messaging", kitMigrations);
  database.sql.run("INSERT INTO ownership VALUES (1, 'backup', 3, 'before', 1, 0, 1)");
  database.close();
  world.broker.store([claimOfFile("lost", 4)]);
  for (const machine of world.machines) machine.start();
  world.pass(2_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(given?.read("SELECT takes_over FROM ownership")).toEqual([{ takes_over: 0 }]);
  world.broker.store([claimOfFile("another file", lastOwner(world).epoch + 1)]);
  world.pass(LONG_MS);
  expect(roles(world)).toEqual(["following", "following"]);
});

test("a leader stops when another file takes the service over from the log, and leads no more", () => {
  using world = new World(1, 2, undefined, true);
  for (const machine of world.machines) machine.start();
  world.pass(1_000);
  expect(roles(world)).toContain("leading");
  const { epoch } = lastOwner(world);
  world.broker.store([claimOfFile("another file", epoch + 1)]);
  world.pass(LONG_MS);
  expect(roles(world)).toEqual(["following", "following"]);
  expect(world.machines.map(({ replica }) => replica?.state().isForeign)).toEqual([true, true]);
  expect(lastOwner(world).file).toBe("another file");
});

test("the database of a service that was not replicated is where its log begins; another one is refused", () => {
  using world = new World(1, 3);
  const [old, other, empty] = world.machines;
  for (const [machine, total] of [
    [old, 7],
    [other, 3],
  ] as const) {
    const database = openDatabase(machine?.path ?? "", { synchronous: "OFF" });
    migrate(database, SERVICE, migrations);
    migrate(database, "messaging", kitMigrations);
    database.sql.run("INSERT INTO accounts VALUES ('a', ?)", [total]);
    database.close();
  }
  old?.start();
  world.pass(500);
  other?.start();
  empty?.start();
  world.pass(LONG_MS);
  expect(roles(world)).toEqual(["leading", "refused", "following"]);
  expect(empty?.read("SELECT total FROM accounts")).toEqual([{ total: 7 }]);
  expect(empty?.content()).toBe(old?.content() ?? "");
  expect(other?.read("SELECT total FROM accounts")).toEqual([{ total: 3 }]);
});

test("a follower gets the schema of a newer version from its leader, and an older version leads with it", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  first.crash("a newer version", 100);
  world.pass(50);
  first.start(versions[1]);
  world.pass(2_000);
  pay(world, 0, 3);
  world.pass(1_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(second.read("SELECT * FROM accounts")).toEqual([{ account: "a", total: 3, last: "payment-2" }]);
  expect(second.content()).toBe(first.content());
  first.stop(LONG_MS);
  world.pass(AFTER_STOP_MS);
  pay(world, 3, 1);
  world.pass(1_000);
  expect(second.read("SELECT * FROM accounts")).toEqual([{ account: "a", total: 4, last: "payment-2" }]);
});

test("a version that cannot work with the schema of a newer one follows it, and leads in no place of it", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  first.stop(100);
  second.stop(LONG_MS);
  world.pass(50);
  first.version = versions[2];
  world.pass(2_000);
  pay(world, 0, 3);
  world.pass(1_000);
  second.start();
  world.pass(1_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(second.content()).toBe(first.content());
  first.crash("for long", LONG_MS);
  pay(world, 3, 1);
  world.pass(2 * AFTER_CRASH_MS);
  expect(second.replica?.state()).toMatchObject({ role: "following", outdated: expect.any(String) });
  expect(second.read("SELECT total FROM accounts")).toEqual([{ total: 3 }]);
  first.start();
  world.pass(2 * AFTER_CRASH_MS);
  expect(roles(world)[0]).toBe("leading");
  expect(first.read("SELECT total FROM accounts")).toEqual([{ total: 4 }]);
});

test("a follower whose version cannot work with the schema of a newer one says so, and does not lead", () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  const newer = [...migrations, { name: "notes", sql: "CREATE UNIQUE INDEX notes ON payments (payment)" }];
  first.crash("a newer version", 100);
  world.pass(50);
  first.start(newer);
  world.pass(2_000);
  expect(roles(world)).toEqual(["leading", "following"]);
  expect(second.replica?.state().outdated).toContain('"notes", this version has no such step');
  first.stop(LONG_MS);
  world.pass(2 * AFTER_CRASH_MS);
  const claims = world.changes("claim").length;
  expect([second.replica?.state().role, claims]).toEqual(["following", 2]);
  // Replaced by the newer version, it leads.
  second.stop(LONG_MS);
  world.pass(AFTER_STOP_MS);
  second.start(newer);
  world.pass(AFTER_STOP_MS);
  expect(second.replica?.state()).toMatchObject({ role: "leading", outdated: undefined });
});

test("a group of more than a record of the broker takes", async () => {
  const { world, all } = start(2);
  using _ = world;
  const [first, second] = all;
  const random = Array.from({ length: 250_000 }, () => world.prng.bits().toString(36)).join("");
  expect(await settled(world, first.ask(random))).toBe("resolved");
  world.pass(1_000);
  const parts = world.changes("group").map(({ headers }) => headers.part);
  expect(second.content()).toBe(first.content());
  expect(parts.some((part) => part?.startsWith("2/"))).toBe(true);
});

test("an instance that lacks what was removed from the log does not lead, and says so", () => {
  const { world, all } = start(3);
  using _ = world;
  const [first, second, third] = all;
  third?.destroy(LONG_MS);
  pay(world, 0, 5);
  world.pass(1_000);
  const log = world.changeLog;
  world.broker.trim(log, log.end - 1);
  third?.start();
  world.pass(3_000);
  expect(third?.replica?.state()).toMatchObject({ role: "following", lacks: true });
  first.crash("test", LONG_MS);
  second.crash("test", LONG_MS);
  const { end } = log;
  world.pass(3 * AFTER_CRASH_MS);
  expect(third?.replica?.state()).toMatchObject({ role: "following", lacks: true });
  // Nor does it claim.
  expect(log.end).toBe(end);
});

test("an instance that lacks what was removed from the log lacks it after a restart, too", () => {
  const { world, all } = start(3);
  using _ = world;
  const [first, second, third] = all;
  if (third === undefined) throw new Error("too few machines");
  third.crash("test", LONG_MS);
  pay(world, 0, 5);
  world.pass(1_000);
  const log = world.changeLog;
  first.crash("test", 2 * LONG_MS);
  world.pass(AFTER_CRASH_MS);
  expect(second.replica?.state()).toMatchObject({ role: "leading", epoch: 2 });
  world.broker.trim(log, world.changes("claim").at(-1)?.offset ?? 0);
  third.start();
  while (third.replica?.state().isCurrent !== true) world.scheduler.step();
  expect(third.replica.state()).toMatchObject({ epoch: 2, lacks: true });
  // So nobody writes any more.
  second.crash("test", LONG_MS);
  third.crash("test", 100);
  const { end } = log;
  world.pass(2 * AFTER_CRASH_MS);
  expect(third.replica?.state()).toMatchObject({ role: "following", lacks: true });
  expect(log.end).toBe(end);
});
