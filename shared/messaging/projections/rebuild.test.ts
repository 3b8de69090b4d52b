import { afterEach, describe, expect, test } from "bun:test";
import { migrate, openDatabase, type ServiceDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import { type Handler, on } from "../inbox/inbox.ts";
import { Messaging } from "../messaging.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { definitions, Letter, letters, parked } from "../testing/kit.ts";
import { MemoryBroker } from "../transport/memory.ts";
import { Rebuild, rebuildMigration } from "./rebuild.ts";

const tables = ["projection", "by_name"] as const;

/** Longer than a rebuild goes on without progress. */
const STALL_MS = 61_000;

/** A clock that tests move: on a busy machine, a short time without progress would be no sign of a stall. */
class Clock {
  aheadMs = 0;
  readonly runtime = { ...systemRuntime, monotonic: () => systemRuntime.monotonic() + this.aheadMs };
}

/** A service with projections: a row for each letter, by its text and by its name. */
class Projector {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...definitions.map(({ topic }) => topic), parked], systemRuntime);
  readonly clock = new Clock();
  readonly handlers: readonly Handler[];
  /** Called before a letter is written. */
  onLetter: (text: string) => void = () => {};
  messaging: Messaging;
  rebuild: Rebuild;

  constructor() {
    const { sql } = this.database;
    migrate(this.database, "projector", [
      rebuildMigration,
      {
        name: "projection",
        sql: `CREATE TABLE projection (
          seq INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, name TEXT NOT NULL, generation INTEGER
        ) STRICT;
        CREATE TABLE by_name (
          text TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER, PRIMARY KEY (name, text)
        ) STRICT, WITHOUT ROWID`,
      },
    ]);
    const upsert = (table: string) =>
      sql.prepare(
        `INSERT INTO ${table} (text, name, generation) VALUES (?, ?, (SELECT generation FROM rebuild))
         ON CONFLICT DO UPDATE SET name = excluded.name, generation = excluded.generation
         WHERE ${table}.generation < excluded.generation`,
      );
    this.handlers = [
      on(Letter, ({ data: { text, name } }) => {
        this.onLetter(text);
        for (const table of tables) upsert(table).run(text, name);
      }),
    ];
    this.messaging = this.#start();
    this.rebuild = this.#build();
  }

  /** Starts the next process on the same file. @param beforeResume called just before it continues the rebuild */
  async restart(beforeResume = () => {}): Promise<void> {
    await this.rebuild.stop();
    await this.messaging.stop();
    this.messaging = this.#start();
    this.rebuild = this.#build();
    beforeResume();
    this.rebuild.resume();
  }

  async stop(): Promise<void> {
    await this.rebuild.stop();
    await this.messaging.stop();
    this.database.close();
  }

  async send(from: number, to: number): Promise<void> {
    await this.messaging.unitOfWork.run((transaction) => {
      for (let index = from; index <= to; index += 1) {
        transaction.emit(Letter, { name: `name-${index % 7}`, text: `letter ${index}` });
      }
    });
    await eventually(() => this.messaging.consumer.counts.handled >= to - from + 1 && this.count() >= to);
  }

  rows(): unknown[] {
    return this.database.sql.query("SELECT seq, text, name FROM projection ORDER BY seq").all();
  }

  count(): number {
    return this.database.sql.query<{ n: number }, []>("SELECT count(*) AS n FROM projection").get()?.n ?? 0;
  }

  async finished(): Promise<void> {
    await eventually(
      () => ["done", "failed"].includes(this.rebuild.status().phase),
      "the end of the rebuild",
    );
  }

  #start(): Messaging {
    const messaging = new Messaging({
      service: "reader",
      database: this.database,
      transport: this.broker,
      definitions,
      handlers: this.handlers,
      deadLetterTopic: parked.name,
      runtime: systemRuntime,
      log: silentLogger,
    });
    messaging.start();
    return messaging;
  }

  #build(): Rebuild {
    return new Rebuild({
      service: "reader",
      database: this.database,
      unitOfWork: this.messaging.unitOfWork,
      subscriber: this.broker,
      definitions,
      handlers: this.handlers,
      tables,
      runtime: this.clock.runtime,
      log: silentLogger,
    });
  }
}

let projector: Projector;
afterEach(() => projector.stop());

describe("a projection that is rebuilt", () => {
  test("is the same as before", async () => {
    projector = new Projector();
    await projector.send(1, 300);
    const before = projector.rows();
    expect(await projector.rebuild.begin(true)).toBe(true);
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({
      phase: "done",
      skipped: 0,
      unaccounted: 0,
      toRead: 300,
    });
    expect(projector.rows()).toEqual(before);
  });

  test("loses what no message accounts for, of however many rows, with and without a rowid", async () => {
    projector = new Projector();
    await projector.send(1, 30);
    const before = projector.rows();
    const { sql } = projector.database;
    for (const table of tables) {
      sql.run(
        `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1200)
         INSERT INTO ${table} (text, name, generation) SELECT 'phantom ' || n, 'name-' || n % 3, 1 FROM numbers`,
      );
    }
    await projector.rebuild.begin(true);
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 2_400 });
    expect(projector.rows()).toEqual(before);
    expect(sql.query("SELECT count(*) AS n FROM by_name").get()).toEqual({ n: 30 });
  });

  test("gets back the rows that it had lost", async () => {
    projector = new Projector();
    await projector.send(1, 50);
    const before = projector.rows();
    const { sql } = projector.database;
    sql.run("UPDATE projection SET name = 'wrong' WHERE seq % 3 = 0");
    sql.run("DELETE FROM projection WHERE seq > 40");
    await projector.rebuild.begin(false);
    await projector.finished();
    const text = (row: unknown) => JSON.stringify({ ...(row as object), seq: 0 });
    expect(projector.rows().map(text).sort()).toEqual(before.map(text).sort());
    expect(projector.rows().slice(0, 40)).toEqual(before.slice(0, 40));
  });

  test("never has fewer rows than before, and gets new ones meanwhile", async () => {
    projector = new Projector();
    await projector.send(1, 2_000);
    let least = Number.POSITIVE_INFINITY;
    let sent: Promise<void> | undefined;
    projector.onLetter = () => {
      least = Math.min(least, projector.count());
      sent ??= projector.send(2_001, 2_100);
    };
    await projector.rebuild.begin(true);
    await projector.finished();
    await sent;
    expect(least).toBeGreaterThanOrEqual(2_000);
    await eventually(() => projector.count() === 2_100);
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
  });

  test("keeps rows that no message accounts for, and counts them; deletes them on request", async () => {
    projector = new Projector();
    await projector.send(1, 20);
    const { sql } = projector.database;
    sql.run("INSERT INTO projection (text, name, generation) VALUES ('without a message', 'x', 1)");
    sql.run("INSERT INTO projection (text, name, generation) VALUES ('without a generation', 'x', NULL)");
    await projector.rebuild.begin(false);
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 1 });
    expect(projector.count()).toBe(22);
    await projector.rebuild.begin(true);
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 1 });
    const left = sql.query<{ text: string }, []>("SELECT text FROM projection WHERE name = 'x'").all();
    expect(left).toEqual([{ text: "without a generation" }]);
  });

  test("is continued by the next process", async () => {
    projector = new Projector();
    await projector.send(1, 1_000);
    const before = projector.rows();
    let written = 0;
    const middle = Promise.withResolvers<void>();
    projector.onLetter = () => {
      written += 1;
      if (written === 400) middle.resolve();
    };
    await projector.rebuild.begin(true);
    await middle.promise;
    await projector.restart();
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
    expect(projector.rows()).toEqual(before);
    // A batch at most is read twice.
    expect(written).toBeLessThan(1_500);
  });

  test("is continued although the disk could not be read at first", async () => {
    projector = new Projector();
    await projector.send(1, 1_000);
    const { sql } = projector.database;
    const middle = Promise.withResolvers<void>();
    projector.onLetter = (text) => {
      if (text === "letter 400") middle.resolve();
    };
    await projector.rebuild.begin(true);
    await middle.promise;
    await projector.restart(() => sql.run("ALTER TABLE rebuild_positions RENAME TO unreadable"));
    expect(() => projector.rebuild.status()).toThrow("no such table");
    sql.run("ALTER TABLE unreadable RENAME TO rebuild_positions");
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
  });

  test("leaves out what cannot be handled", async () => {
    projector = new Projector();
    await projector.send(1, 10);
    await projector.broker.publish([{ topic: letters.name, key: "k", value: "no event", headers: {} }]);
    await eventually(() => projector.messaging.deadLetters.count() === 1);
    projector.onLetter = (text) => {
      if (text === "letter 3") throw new DomainError("never");
    };
    await projector.rebuild.begin(false);
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({ phase: "done", skipped: 2, unaccounted: 2 });
  });

  test("stays as it was when the topics no longer hold what it was made from", async () => {
    projector = new Projector();
    await projector.send(1, 10);
    const before = projector.rows();
    projector.database.sql.run("UPDATE consumer_offsets SET next_offset = next_offset + 5");
    await projector.rebuild.begin(true);
    await projector.finished();
    expect(projector.rebuild.status().phase).toBe("failed");
    expect(projector.rebuild.status().error).toMatch(/ends at \d+, \d+ had been handled/);
    expect(projector.rows()).toEqual(before);
  });

  test("stays as it was when a topic is empty", async () => {
    projector = new Projector();
    projector.database.sql.run("INSERT INTO consumer_offsets VALUES ('letters', 0, 5, NULL, 1)");
    await projector.rebuild.begin(true);
    projector.clock.aheadMs = STALL_MS;
    await projector.finished();
    expect(projector.rebuild.status()).toMatchObject({
      phase: "failed",
      error: expect.stringContaining("no longer hold"),
    });
  });

  test("is rebuilt once at a time", async () => {
    projector = new Projector();
    await projector.send(1, 100);
    expect(await Promise.all([projector.rebuild.begin(false), projector.rebuild.begin(false)])).toEqual([
      true,
      false,
    ]);
    await projector.finished();
  });
});

test.each<[string, Handler["handle"], string]>([
  [
    "emits",
    (_message, transaction) => transaction.emit(Letter, { name: "a", text: "again" }),
    "a handler of a projection emits nothing and sets no timers",
  ],
  [
    "is asynchronous",
    async () => {},
    "the handler of test.letter.v1 must be synchronous: it returned a promise",
  ],
  [
    "always fails",
    () => {
      throw new Error("no such column");
    },
    "no such column",
  ],
])("a handler that %s cannot rebuild a projection, which says why", async (_what, handle, error) => {
  projector = new Projector();
  const { messaging, database, broker, clock } = projector;
  await projector.send(1, 3);
  const handler: Handler = {
    definition: Letter,
    handle: (...args) => {
      clock.aheadMs = STALL_MS;
      return handle(...args);
    },
  };
  const rebuild = new Rebuild({
    service: "emitter",
    database,
    unitOfWork: messaging.unitOfWork,
    subscriber: broker,
    definitions,
    handlers: [handler],
    tables: ["projection"],
    runtime: clock.runtime,
    log: silentLogger,
  });
  await rebuild.begin(false);
  await eventually(() => rebuild.status().phase === "failed");
  expect(rebuild.status().error).toBe(`a message cannot be handled again: ${error}`);
  expect(broker.records(letters.name)).toHaveLength(3);
  await rebuild.stop();
});
