import { afterEach, describe, expect, test } from "bun:test";
import { migrate, openDatabase, type ServiceDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import { type Handler, on } from "../inbox/handlers.ts";
import { Messaging } from "../messaging.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { definitions, Letter, letters, parked } from "../testing/kit.ts";
import { MemoryBroker } from "../transport/memory.ts";
import { Rebuild, rebuildMigration } from "./rebuild.ts";

/** A service that keeps a copy: of each letter, under its text. */
class Copyist {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([letters, parked], systemRuntime);
  readonly handlers: readonly Handler[];
  /** Called before a letter is copied. */
  onLetter: (text: string) => void = () => {};
  messaging: Messaging;
  rebuild: Rebuild;

  constructor() {
    const { sql } = this.database;
    migrate(this.database, "copyist", [
      rebuildMigration,
      {
        name: "copies",
        sql: `CREATE TABLE copies (
          seq INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, name TEXT NOT NULL, generation INTEGER
        ) STRICT`,
      },
    ]);
    const copy = () =>
      sql.prepare(
        `INSERT INTO copies (text, name, generation) VALUES (?, ?, (SELECT generation FROM rebuild))
         ON CONFLICT (text) DO UPDATE SET name = excluded.name, generation = excluded.generation
         WHERE copies.generation < excluded.generation`,
      );
    this.handlers = [
      on(Letter, ({ data: { text, name } }) => {
        this.onLetter(text);
        copy().run(text, name);
      }),
    ];
    this.messaging = this.#start();
    this.rebuild = this.#build();
  }

  /** The next process on the same file. @param beforeResume the last thing to happen before it goes on */
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

  copies(): unknown[] {
    return this.database.sql.query("SELECT seq, text, name FROM copies ORDER BY seq").all();
  }

  count(): number {
    return this.database.sql.query<{ n: number }, []>("SELECT count(*) AS n FROM copies").get()?.n ?? 0;
  }

  async finished(): Promise<void> {
    await eventually(
      () => ["done", "failed"].includes(this.rebuild.status().phase),
      "the rebuild is not over",
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
      tables: ["copies"],
      runtime: systemRuntime,
      log: silentLogger,
      stallMs: 500,
    });
  }
}

let copyist: Copyist;
afterEach(() => copyist.stop());

describe("a copy that is made anew", () => {
  test("is the same as before", async () => {
    copyist = new Copyist();
    await copyist.send(1, 300);
    const before = copyist.copies();
    expect(await copyist.rebuild.begin(true)).toBe(true);
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({
      phase: "done",
      skipped: 0,
      unaccounted: 0,
      toRead: 300,
    });
    expect(copyist.copies()).toEqual(before);
  });

  test("has again what it had lost, as it was", async () => {
    copyist = new Copyist();
    await copyist.send(1, 50);
    const before = copyist.copies();
    const { sql } = copyist.database;
    sql.run("UPDATE copies SET name = 'wrong' WHERE seq % 3 = 0");
    sql.run("DELETE FROM copies WHERE seq > 40");
    await copyist.rebuild.begin(false);
    await copyist.finished();
    const text = (row: unknown) => JSON.stringify({ ...(row as object), seq: 0 });
    expect(copyist.copies().map(text).sort()).toEqual(before.map(text).sort());
    expect(copyist.copies().slice(0, 40)).toEqual(before.slice(0, 40));
  });

  test("is never less than it was, and goes on with what comes meanwhile", async () => {
    copyist = new Copyist();
    await copyist.send(1, 2_000);
    let least = Number.POSITIVE_INFINITY;
    let sent: Promise<void> | undefined;
    copyist.onLetter = () => {
      least = Math.min(least, copyist.count());
      sent ??= copyist.send(2_001, 2_100);
    };
    await copyist.rebuild.begin(true);
    await copyist.finished();
    await sent;
    expect(least).toBeGreaterThanOrEqual(2_000);
    await eventually(() => copyist.count() === 2_100);
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
  });

  test("keeps what no message accounts for, and says so; drops it when asked to", async () => {
    copyist = new Copyist();
    await copyist.send(1, 20);
    const { sql } = copyist.database;
    sql.run("INSERT INTO copies (text, name, generation) VALUES ('nobody wrote this', 'x', 1)");
    sql.run("INSERT INTO copies (text, name, generation) VALUES ('the own', 'x', NULL)");
    await copyist.rebuild.begin(false);
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 1 });
    expect(copyist.count()).toBe(22);
    await copyist.rebuild.begin(true);
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 1 });
    const left = sql.query<{ text: string }, []>("SELECT text FROM copies WHERE name = 'x'").all();
    expect(left).toEqual([{ text: "the own" }]);
  });

  test("goes on where it was when the process is started again in the middle", async () => {
    copyist = new Copyist();
    await copyist.send(1, 1_000);
    const before = copyist.copies();
    let copied = 0;
    const middle = Promise.withResolvers<void>();
    copyist.onLetter = () => {
      copied += 1;
      if (copied === 400) middle.resolve();
    };
    await copyist.rebuild.begin(true);
    await middle.promise;
    await copyist.restart();
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
    expect(copyist.copies()).toEqual(before);
    // A batch at most is read twice.
    expect(copied).toBeLessThan(1_500);
  });

  test("goes on though the disk could not be read when it was to", async () => {
    copyist = new Copyist();
    await copyist.send(1, 1_000);
    const { sql } = copyist.database;
    const middle = Promise.withResolvers<void>();
    copyist.onLetter = (text) => {
      if (text === "letter 400") middle.resolve();
    };
    await copyist.rebuild.begin(true);
    await middle.promise;
    await copyist.restart(() => sql.run("ALTER TABLE rebuild_positions RENAME TO unreadable"));
    expect(() => copyist.rebuild.status()).toThrow("no such table");
    sql.run("ALTER TABLE unreadable RENAME TO rebuild_positions");
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", unaccounted: 0 });
  });

  test("leaves out what cannot be handled", async () => {
    copyist = new Copyist();
    await copyist.send(1, 10);
    await copyist.broker.publish([{ topic: letters.name, key: "k", value: "no event", headers: {} }]);
    await eventually(() => copyist.messaging.deadLetters.count() === 1);
    copyist.onLetter = (text) => {
      if (text === "letter 3") throw new DomainError("never");
    };
    await copyist.rebuild.begin(false);
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({ phase: "done", skipped: 2, unaccounted: 1 });
  });

  test("is given up when the topics no longer hold what it was made from", async () => {
    copyist = new Copyist();
    await copyist.send(1, 10);
    const before = copyist.copies();
    copyist.database.sql.run("UPDATE consumer_offsets SET next_offset = next_offset + 5");
    await copyist.rebuild.begin(true);
    await copyist.finished();
    expect(copyist.rebuild.status().phase).toBe("failed");
    expect(copyist.rebuild.status().error).toMatch(/ends at \d+, \d+ had been handled/);
    expect(copyist.copies()).toEqual(before);
  });

  test("is given up when a topic is empty, too", async () => {
    copyist = new Copyist();
    copyist.database.sql.run("INSERT INTO consumer_offsets VALUES ('letters', 0, 5, NULL)");
    await copyist.rebuild.begin(true);
    await copyist.finished();
    expect(copyist.rebuild.status()).toMatchObject({
      phase: "failed",
      error: expect.stringContaining("no longer hold"),
    });
  });

  test("is begun once, however often it is asked for", async () => {
    copyist = new Copyist();
    await copyist.send(1, 100);
    expect(await Promise.all([copyist.rebuild.begin(false), copyist.rebuild.begin(false)])).toEqual([
      true,
      false,
    ]);
    await copyist.finished();
  });
});

test("a handler that would tell somebody is not one that keeps a copy", async () => {
  copyist = new Copyist();
  const telling = on(Letter, ({ data }, transaction) => {
    transaction.emit(Letter, data);
  });
  const { messaging, database, broker } = copyist;
  await copyist.send(1, 3);
  const rebuild = new Rebuild({
    service: "teller",
    database,
    unitOfWork: messaging.unitOfWork,
    subscriber: broker,
    definitions,
    handlers: [telling],
    tables: ["copies"],
    runtime: systemRuntime,
    log: silentLogger,
    stallMs: 300,
  });
  await rebuild.begin(false);
  await eventually(() => rebuild.status().phase === "failed");
  expect(broker.records(letters.name)).toHaveLength(3);
  await rebuild.stop();
});
