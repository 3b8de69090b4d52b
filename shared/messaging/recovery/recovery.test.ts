import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { closed, deadLetterTopic, define, ownerTopic, type Topic } from "../contract/define.ts";
import { encode, type Message, message } from "../contract/envelope.ts";
import { migrate, openDatabase, type ServiceDatabase } from "../database.ts";
import { defineEffect } from "../effects/define.ts";
import { DomainError } from "../errors.ts";
import { on } from "../inbox/inbox.ts";
import { Messaging, type MessagingOptions } from "../messaging.ts";
import { derivedId } from "../outbox/message-id.ts";
import { type Claim, contentOf } from "../ownership/claim.ts";
import { continueAs, isFileOf } from "../ownership/ownership.ts";
import { type Runtime, silentLogger, systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import type { Logs } from "../transport/logs.ts";
import { MemoryBroker } from "../transport/memory.ts";
import type { Transport } from "../transport/transport.ts";
import { Recovery, RecoveryRefusal, type RecoveryReport } from "./recovery.ts";

/*
 * A theatre with few seats. Who gets one depends on the order over all partitions; that seats were added is told to nobody, but in
 * the state of the house, of which several are sent as one.
 */

const requests: Topic = { name: "seats.requests", key: "guest", partitions: 4, config: {} };
const additions: Topic = { name: "seats.additions", key: "house", partitions: 2, config: {} };
const events: Topic = { name: "seats.events", key: "guest", partitions: 3, config: {} };
const states: Topic = {
  name: "seats.states",
  key: "house",
  partitions: 1,
  config: { "cleanup.policy": "compact" },
};
const OWNERS = ownerTopic("seats");
const PARKED = deadLetterTopic("seats");

const Guest = Type.Object({ guest: Type.String(), wait: Type.Integer({ minimum: 0 }) }, closed);
const Ask = define({
  type: "seat.ask.v1",
  kind: "command",
  source: "box-office",
  topic: requests,
  key: "guest",
  data: Guest,
});
const Add = define({
  ...{ type: "seats.add.v1", kind: "command", source: "box-office", topic: additions, key: "house" },
  data: Type.Object({ house: Type.String(), seats: Type.Integer() }, closed),
});
const Seated = define({
  ...{ type: "seat.given.v1", kind: "event", source: "seats", topic: events, key: "guest" },
  data: Type.Object({ guest: Type.String(), seat: Type.Integer() }, closed),
});
const Waiting = define({
  ...{ type: "seat.waiting.v1", kind: "event", source: "seats", topic: events, key: "guest" },
  data: Type.Object({ guest: Type.String(), until: Type.Integer() }, closed),
});
const Left = define({
  ...{ type: "guest.left.v1", kind: "event", source: "seats", topic: events, key: "guest" },
  data: Type.Object({ guest: Type.String(), at: Type.Integer() }, closed),
});
const House = define({
  ...{ type: "house.v1", kind: "event", source: "seats", topic: states, key: "house" },
  data: Type.Object({ house: Type.String(), seats: Type.Integer(), version: Type.Integer() }, closed),
});
const definitions = [Ask, Add, Seated, Waiting, Left, House];

const sql = `
  CREATE TABLE house (seats INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;
  INSERT INTO house VALUES (0, 0);
  CREATE TABLE guests (guest TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
`;

let performed: string[];
const Usher = defineEffect({
  name: "usher",
  input: Type.Object({ guest: Type.String() }, closed),
  run: async ({ guest }) => {
    performed.push(guest);
  },
});

const hasty: Runtime = {
  ...systemRuntime,
  after: (delayMs, callback) => systemRuntime.after(delayMs / 20, callback),
};

let folder: string;
let broker: MemoryBroker;
const opened: ServiceDatabase[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "recovery-"));
  broker = new MemoryBroker([requests, additions, events, states, OWNERS, PARKED], systemRuntime);
  performed = [];
});
afterEach(() => {
  for (const database of opened.splice(0)) database.close();
  rmSync(folder, { recursive: true });
});

function open(name: string): ServiceDatabase {
  const database = openDatabase(join(folder, `${name}.sqlite`));
  migrate(database, "seats", [{ name: "seats", sql }]);
  opened.push(database);
  return database;
}

function close(database: ServiceDatabase): void {
  opened.splice(opened.indexOf(database), 1);
  database.close();
}

/** @param seatsOfEach how many seats an addition brings for each that it names: another version of the code */
function service(
  { sql: db, ...database }: ServiceDatabase,
  surroundings: Pick<MessagingOptions, "transport" | "runtime"> & Partial<MessagingOptions>,
  seatsOfEach = 1,
): Messaging {
  const house = () =>
    db.query<{ seats: number; version: number }, []>("SELECT * FROM house").get() ?? { seats: 0, version: 0 };
  const change = (by: number, tx: Parameters<Parameters<typeof on>[1]>[1]) => {
    db.run("UPDATE house SET seats = seats + ?, version = version + 1", [by]);
    tx.emitLatest(House, { house: "main", ...house() });
  };
  return new Messaging({
    service: "seats",
    database: { sql: db, ...database },
    ownership: surroundings.transport.follow !== undefined,
    definitions,
    handlers: [
      on(Ask, ({ data: { guest, wait } }, tx) => {
        if (guest.startsWith("nobody")) throw new DomainError("there is no such guest");
        const { seats } = house();
        const isSeated = seats > 0;
        db.run("INSERT OR REPLACE INTO guests VALUES (?, ?, ?)", [
          guest,
          isSeated ? "seated" : "waits",
          tx.now,
        ]);
        if (isSeated) {
          tx.emit(Seated, { guest, seat: seats });
          change(-1, tx);
          tx.enqueue(Usher, { guest });
        } else {
          tx.emit(Waiting, { guest, until: tx.now + wait });
          tx.setTimer({ name: "patience", key: guest, dueAt: tx.now + wait });
        }
      }),
      on(Add, ({ data: { seats } }, tx) => change(seats * seatsOfEach, tx)),
    ],
    timers: [
      {
        name: "patience",
        fire: ({ key: guest }, tx) => {
          db.run("UPDATE guests SET state = 'left', at = ? WHERE guest = ?", [tx.now, guest]);
          tx.emit(Left, { guest, at: tx.now });
        },
      },
    ],
    effects: [Usher],
    deadLetterTopic: PARKED.name,
    log: silentLogger,
    ...surroundings,
  });
}

const send = (...messages: readonly Message[]) =>
  broker.publish(messages.map((one) => encode(one.type === Ask.type ? Ask : Add, one)));
function command<D extends typeof Ask | typeof Add>(definition: D, data: Parameters<D["keyOf"]>[0]): Message {
  const id = Bun.randomUUIDv7();
  const origin = {
    id,
    source: "box-office",
    time: new Date().toISOString(),
    correlationid: id,
    causationid: id,
  };
  return message(definition as never, data as never, origin);
}
const ask = (guest: string, wait = 3_600_000) => command(Ask, { guest, wait });
const add = (seats: number, house = "main") => command(Add, { house, seats });

/** What the broker had been told of the handled offsets, by partition. */
let committed: Map<string, number>;
beforeEach(() => {
  committed = new Map();
});
const logs: Logs = {
  partitions: async (topic) =>
    [requests, additions, events, states]
      .filter(({ name }) => name === topic)
      .flatMap(({ partitions }) => Array.from({ length: partitions }, (_, partition) => partition))
      .map((partition) => {
        const { start, end } = broker.partition(topic, partition);
        return { partition, earliest: start, latest: end };
      }),
  // Few at a time.
  read: async (topic, partition, from) =>
    broker
      .log(topic, partition)
      .filter(({ offset }) => offset >= from)
      .slice(0, 3),
  committed: async (_group, topic, partition) => committed.get(`${topic}/${partition}`),
};

const tables = ({ sql: db }: ServiceDatabase) => ({
  house: db.query("SELECT * FROM house").all(),
  guests: db.query("SELECT * FROM guests ORDER BY guest").all(),
  timers: db.query("SELECT name, key, due_at, id FROM timers ORDER BY key").all(),
  inbox: db.query("SELECT hex(message_id) FROM inbox ORDER BY 1").all(),
});
const published = () => broker.records(events.name).length + broker.records(states.name).length;
const eventsOf = () =>
  broker.records(events.name).map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Message);

/** Runs the service on a database while something is done. */
async function run(
  database: ServiceDatabase,
  work: (kit: Messaging) => Promise<void>,
  transport: Transport = broker,
) {
  const kit = service(database, { transport, runtime: hasty });
  kit.start();
  await eventually(() => kit.ownership()?.state === "owner");
  await work(kit);
  await kit.stop();
}

/** Everything that was sent is handled, all that is due has fired, and what came of it is published. */
async function settled(kit: Messaging, handled: number): Promise<void> {
  const { counts } = kit.consumer;
  await eventually(() => counts.handled + counts.parked >= handled, "all to be handled");
  await eventually(
    () => kit.outbox.depth() === 0 && kit.effects.counts().pending === 0,
    "all to be published",
  );
}

function backUp({ sql: db }: ServiceDatabase, name = "backup"): string {
  const path = join(folder, `${name}.sqlite`);
  db.run("VACUUM INTO ?", [path]);
  return path;
}

async function recover(
  database: ServiceDatabase,
  options: { seatsOfEach?: number; despiteGaps?: boolean; hasProjections?: boolean; read?: Logs } = {},
): Promise<RecoveryReport> {
  const { seatsOfEach = 1, read = logs, ...others } = options;
  const recovery = new Recovery({ service: "seats", database, logs: read, definitions, ...others });
  const { transport, runtime } = recovery;
  const gaps = options.despiteGaps === true ? "continue" : "stop";
  const kit = service(recovery.database, { transport, runtime, gaps }, seatsOfEach);
  try {
    return await recovery.run(kit);
  } finally {
    await kit.stop();
  }
}

/** A life of which the file is lost, after a copy was made in the middle of it. @returns the lost file, and the copy */
async function lived(guests = 40): Promise<{ lost: ServiceDatabase; copy: ServiceDatabase }> {
  const lost = open("seats");
  await run(lost, async (kit) => {
    await send(add(5));
    await settled(kit, 1);
    await send(ask("early"));
    await settled(kit, 2);
    backUp(lost);
  });
  await run(lost, async (kit) => {
    let handled = 0;
    // What is sent together is read together, from all partitions, and commits in few groups.
    for (let round = 0; round < 4; round += 1) {
      const asking = Array.from({ length: guests / 4 }, (_, number) =>
        ask(`guest ${round}-${number}`, number % 3 === 0 ? 0 : 3_600_000),
      );
      const adding = [add(1, "left"), add(2, "right"), add(1, `house ${round}`)];
      await send(...asking.slice(0, 4), ...adding, ...asking.slice(4), ask(`nobody ${round}`));
      handled += asking.length + adding.length + 1;
      await settled(kit, handled);
    }
    await eventually(() => lost.sql.query("SELECT 1 FROM timers WHERE due_at <= ?").get(Date.now()) === null);
    await settled(kit, handled);
  });
  return { lost, copy: open("backup") };
}

test("a copy becomes what the lost file was: the same decisions, in the order in which they were published", async () => {
  const { lost, copy } = await lived();
  expect(tables(copy)).not.toEqual(tables(lost));
  const before = published();
  const report = await recover(copy);
  expect(report).toMatchObject({ differences: [], furtherDifferences: 0, unsent: 0, requests: 0 });
  expect(report.confirmed).toBeGreaterThan(40);
  expect(report.timersFired).toBeGreaterThan(0);
  expect(tables(copy)).toEqual(tables(lost));
  expect(published()).toBe(before);
});

test("no effect is performed: those that may have been wait for an operator", async () => {
  const { copy } = await lived();
  const before = performed.length;
  const { heldEffects } = await recover(copy);
  expect(heldEffects).toBe(before - 1);
  await run(
    copy,
    async (kit) => {
      expect(kit.effects.counts()).toEqual({ pending: 0, dead: heldEffects });
    },
    onlyOwners(),
  );
  expect(performed).toHaveLength(before);
});

/** A transport over which the recovered file may start: it takes the service over. */
function onlyOwners(): Transport {
  return {
    publish: (records) => broker.publish(records),
    subscribe: () => ({ healthy: () => true, stop: async () => {} }),
    follow: (options) => broker.follow({ ...options, from: broker.records(OWNERS.name).length }),
  };
}

/** The broker, which takes nothing but the owner's claims while it is away. */
function brokerExcept(isAway: () => boolean): Transport {
  return {
    publish: async (records) => {
      if (isAway() && records.some(({ topic }) => topic !== OWNERS.name)) throw new Error("away");
      await broker.publish(records);
    },
    subscribe: (options) => broker.subscribe(options),
    follow: (options) => broker.follow(options),
  };
}

describe("of what follows the last published message", () => {
  /** Stops sending, so that what is decided stays in the file. */
  async function unsent(): Promise<{ lost: ServiceDatabase; copy: ServiceDatabase }> {
    const lost = open("seats");
    let isAway = false;
    const transport = brokerExcept(() => isAway);
    await run(
      lost,
      async (kit) => {
        await send(add(1));
        await settled(kit, 1);
        backUp(lost);
        await send(ask("b"));
        await settled(kit, 2);
        isAway = true;
        await send(ask("c"), add(1), ask("d"));
        await eventually(() => kit.consumer.counts.handled === 5);
      },
      transport,
    );
    return { lost, copy: open("backup") };
  }

  test("nothing is handled that the broker was not told of", async () => {
    const { copy } = await unsent();
    expect(await recover(copy)).toMatchObject({ read: 1, confirmed: 2, unsent: 0, differences: [] });
  });

  test("what the broker was told of is handled now, and what it emits is sent by the next start", async () => {
    const { copy } = await unsent();
    for (const { name, partitions } of [requests, additions]) {
      for (let partition = 0; partition < partitions; partition += 1) {
        committed.set(`${name}/${partition}`, broker.partition(name, partition).end);
      }
    }
    const report = await recover(copy);
    expect(report).toMatchObject({ read: 4, confirmed: 2, differences: [] });
    expect(report.unsent).toBeGreaterThanOrEqual(3);
  });
});

test("what was published since and waited in the copy is neither decided nor sent again", async () => {
  const lost = open("seats");
  let isAway = false;
  const transport = brokerExcept(() => isAway);
  await run(
    lost,
    async (kit) => {
      await send(add(1));
      await settled(kit, 1);
      isAway = true;
      await send(ask("a"));
      await eventually(() => kit.consumer.counts.handled === 2);
      await kit.unitOfWork.run((tx) => tx.emit(Seated, { guest: "by hand", seat: 9 }));
      backUp(lost);
    },
    transport,
  );
  await run(lost, async (kit) => {
    await eventually(() => kit.outbox.depth() === 0);
    await send(ask("b"));
    await settled(kit, 1);
  });
  const copy = open("backup");
  expect(copy.sql.query("SELECT topic FROM outbox").all()).toHaveLength(3);
  expect(await recover(copy)).toMatchObject({ read: 1, confirmed: 1, unsent: 0, differences: [] });
  expect(tables(copy)).toEqual(tables(lost));
});

describe("where the times of the records are not the order in which they were handled", () => {
  /** A name whose messages are on a partition. */
  const nameOn = ({ partitions }: Topic, partition: number): string => {
    const names = Array.from({ length: 50 }, (_, number) => `name ${number}`);
    const name = names.find((candidate) => Number(Bun.hash.xxHash32(candidate)) % partitions === partition);
    if (name === undefined) throw new Error("no name is on that partition");
    return name;
  };

  /** Publishes as the service did, in its first epoch. */
  const publisher = (now: number) => {
    let number = 0;
    return async (
      cause: Message,
      position: number,
      definition: typeof Seated | typeof Waiting | typeof House,
      data: object,
    ) => {
      const origin = {
        id: derivedId(cause.id, "seats", position),
        source: "seats",
        time: new Date(now).toISOString(),
        correlationid: cause.correlationid,
        causationid: cause.id,
      };
      const record = encode(definition, message(definition as never, data as never, origin));
      number += 1;
      await broker.publish([{ ...record, headers: { ...record.headers, sequence: `1.${number}` } }]);
    };
  };

  test("a message that was decided later waits for what came before it, of which nothing was published", async () => {
    const copy = open("seats");
    await run(copy, async () => {});
    const x = ask(nameOn(requests, 0));
    const y = ask(nameOn(requests, 1));
    // y is there first, and was handled last.
    await send(y);
    await send(add(1));
    await send(x);
    const now = Date.now();
    const publish = publisher(now);
    await publish(x, 0, Seated, { guest: x.subject, seat: 1 });
    await publish(y, 0, Waiting, { guest: y.subject, until: now + 3_600_000 });
    await publish(x, 1, House, { house: "main", seats: 0, version: 2 });
    expect(await recover(copy)).toMatchObject({ read: 3, confirmed: 3, unsent: 0, differences: [] });
  });

  test("what was handled later than what follows it in its partition is listed", async () => {
    const copy = open("seats");
    await run(copy, async () => {});
    const x = ask(nameOn(requests, 0));
    const z = ask(x.subject);
    await send(x, z);
    const now = Date.now();
    const publish = publisher(now);
    await publish(z, 0, Waiting, { guest: x.subject, until: now + 3_600_000 });
    await publish(x, 0, Waiting, { guest: x.subject, until: now + 3_600_000 });
    const { differences } = await recover(copy);
    expect(differences[0]).toContain("was published later than what follows it");
    expect(differences.at(-1)).toContain("was published when the dead letter");
  });

  test("only what a message needs is handled before it", async () => {
    const copy = open("seats");
    await run(copy, async () => {});
    const x = ask(nameOn(requests, 0));
    const y = ask(nameOn(requests, 1));
    // Both additions were told with the next state only; the one that is there first was handled last.
    await send(add(2, nameOn(additions, 0)));
    await Bun.sleep(2);
    await send(add(1, nameOn(additions, 1)));
    await send(x, y);
    const publish = publisher(Date.now());
    await publish(x, 0, Seated, { guest: x.subject, seat: 1 });
    await publish(x, 1, House, { house: "main", seats: 0, version: 2 });
    await publish(y, 0, Seated, { guest: y.subject, seat: 2 });
    await publish(y, 1, House, { house: "main", seats: 1, version: 4 });
    expect(await recover(copy)).toMatchObject({ read: 4, confirmed: 4, unsent: 0, differences: [] });
    expect(tables(copy).house).toEqual([{ seats: 1, version: 4 }]);
  });
});

test("what the copy had handled and was sent again since is not decided again", async () => {
  const lost = open("seats");
  await run(lost, async (kit) => {
    await send(add(1));
    await settled(kit, 1);
    await send(ask("a"));
    await settled(kit, 2);
    backUp(lost);
  });
  const [record] = broker.records(events.name);
  if (record === undefined) throw new Error("nothing was published");
  await broker.publish([{ ...record, headers: { ...record.headers, sequence: "2.2" } }]);
  expect(await recover(open("backup"))).toMatchObject({ read: 0, confirmed: 0, differences: [] });
});

test("of the last send some records may be missing: they are sent by the next start", async () => {
  const lost = open("seats");
  let isDying = false;
  const transport: Transport = {
    ...brokerExcept(() => false),
    publish: async (records) => {
      const isLast = isDying && records.some(({ topic }) => topic === events.name);
      await broker.publish(isLast ? records.filter(({ topic }) => topic !== events.name) : records);
      if (isLast) throw new Error("it is gone");
    },
  };
  await run(
    lost,
    async (kit) => {
      await send(add(1));
      await settled(kit, 1);
      backUp(lost);
      isDying = true;
      const before = broker.records(states.name).length;
      await send(ask("a"));
      await eventually(() => broker.records(states.name).length > before);
    },
    transport,
  );
  const copy = open("backup");
  expect(await recover(copy)).toMatchObject({ read: 1, confirmed: 1, unsent: 1, differences: [] });
  expect(tables(copy)).toEqual(tables(lost));
});

test("what contradicts what was published is listed, and is not sent", async () => {
  const { copy } = await lived();
  const before = published();
  const { differences } = await recover(copy, { seatsOfEach: 2 });
  expect(differences.join("\n")).toContain("was published with other content");
  const ids = new Set(eventsOf().map(({ id }) => id));
  const waiting = copy.sql.query<{ value: Uint8Array }, []>("SELECT value FROM outbox").all();
  for (const { value } of waiting) {
    expect(ids.has((JSON.parse(Buffer.from(value).toString()) as Message).id)).toBe(false);
  }
  expect(published()).toBe(before);
});

test("what a request caused cannot be decided again, and is listed, unless it can be rebuilt", async () => {
  const lost = open("seats");
  await run(lost, async (kit) => {
    await send(add(1));
    await settled(kit, 1);
    backUp(lost);
    await kit.unitOfWork.run((tx) => tx.emit(Seated, { guest: "by hand", seat: 9 }));
    await send(ask("a"));
    await settled(kit, 2);
  });
  backUp(open("backup"), "again");
  const [listed] = (await recover(open("again"))).differences;
  expect(listed).toContain("seat.given.v1 of by hand was published because of");
  const rebuilt = await recover(
    opened.find(({ path }) => path.endsWith("backup.sqlite")) as ServiceDatabase,
    { hasProjections: true },
  );
  expect(rebuilt).toMatchObject({ requests: 1, differences: [], confirmed: 2 });
});

test("what was published when a dead letter was replayed is listed", async () => {
  const lost = open("seats");
  await run(lost, async (kit) => {
    await send(add(1));
    await settled(kit, 1);
    backUp(lost);
    await send(ask("nobody"));
    await settled(kit, 2);
    const [letter] = kit.deadLetterAdmin.list({ limit: 10 });
    const fixed = encode(Ask, { ...ask("nobody"), data: { guest: "nobody", wait: 5 } });
    expect([letter?.reason, fixed.key]).toEqual(["domain", "nobody"]);
    // As a replay with other code would.
    const cause = { correlationId: "x", causationId: idOfLast(requests), idSeed: idOfLast(requests) };
    await kit.unitOfWork.run((tx) => tx.emit(Seated, { guest: "nobody", seat: 1 }), cause);
    await settled(kit, 2);
  });
  const { differences } = await recover(open("backup"));
  expect(differences.join()).toMatch(
    /seat\.given\.v1 of nobody \(.*\) was published, and is not decided again/,
  );
});

const idOfLast = ({ name }: Topic) =>
  (JSON.parse(Buffer.from(broker.records(name).at(-1)?.value ?? []).toString()) as Message).id;

describe("is refused", () => {
  const refusal = async (
    text: string,
    options: Parameters<typeof recover>[1] = {},
    copy = open("backup"),
  ) => {
    const refused: unknown = await recover(copy, options).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RecoveryRefusal);
    expect((refused as Error).message).toContain(text);
  };

  test("where retention has removed what the copy has not handled, unless that is accepted", async () => {
    const { copy } = await lived();
    for (let partition = 0; partition < requests.partitions; partition += 1) {
      const log = broker.partition(requests.name, partition);
      log.trim(log.end);
    }
    close(copy);
    backUp(open("backup"), "again");
    await refusal("retention has removed", {}, open("again"));
    const { differences } = await recover(
      opened.find(({ path }) => path.endsWith("backup.sqlite")) as ServiceDatabase,
      { despiteGaps: true },
    );
    expect(differences.join("\n")).toContain("retention has removed");
    expect(differences.join("\n")).toContain("which is in no topic");
  });

  test("where retention may have removed what the service published", async () => {
    const { copy } = await lived();
    close(copy);
    const log = broker.partition(events.name, 0);
    log.trim(log.end);
    await refusal("retention may have removed some of what the service has published to seats.events/0");
  });

  test.each([
    [
      "INSERT INTO partition_stops VALUES ('seats.requests', 0, 0, 0, 'gap', '', NULL, 0)",
      "1 partitions were stopped",
    ],
    ["INSERT INTO rereads VALUES ('seats.requests', 0, 5, 'ask')", "1 read anew"],
    [
      "INSERT INTO parked_outgoing (topic, headers, created_at, reason, error, parked_at) VALUES ('x', '{}', 0, 'topic', '', 0)",
      "1 records parked",
    ],
  ])("where the copy has something that an operator was to decide: %s", async (statement, text) => {
    const { copy } = await lived();
    copy.sql.run(statement);
    await refusal(text, {}, copy);
  });

  test("where a topic is another log", async () => {
    const { copy } = await lived();
    close(copy);
    broker.partition(additions.name, 0).truncate(0);
    broker.partition(additions.name, 1).truncate(0);
    await refusal("is not the log that the copy has handled");
  });

  test("where a version published that did not say in which order", async () => {
    const { copy } = await lived();
    close(copy);
    const old: Logs = {
      ...logs,
      read: async (...place) => (await logs.read(...place)).map((record) => ({ ...record, headers: {} })),
    };
    committed = new Map(
      [0, 1, 2, 3].map((partition) => [
        `${requests.name}/${partition}`,
        broker.partition(requests.name, partition).end,
      ]),
    );
    await refusal("does not say in which order", { read: old });
  });
});

test("a recovered file is the one that was used last, until the owner goes on", async () => {
  const { copy } = await lived();
  const owner = broker
    .records(OWNERS.name)
    .map((record) => contentOf(record))
    .findLast((content): content is Claim => content?.kind === "claim") as Claim;
  await recover(copy);
  expect(isFileOf(owner, copy.sql)).toBe(false);
  continueAs(owner, copy.sql);
  expect(isFileOf(owner, copy.sql)).toBe(true);
  expect(isFileOf({ ...owner, age: owner.age + 1 }, copy.sql)).toBe(false);
  expect(isFileOf({ ...owner, epoch: owner.epoch + 1 }, copy.sql)).toBe(false);
});
