import { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync } from "node:fs";
import { type OpenOptions, openDatabase, type ServiceDatabase } from "../database.ts";
import { Applier } from "./apply.ts";
import { compress } from "./records.ts";
import { turnIntoSnapshot } from "./snapshots.ts";
import { replicatedTables } from "./tables.ts";
import { restoreTriggers, setTriggersAside } from "./triggers.ts";

/** Groups that a follower applies in one transaction, at most. */
const APPLY = 500;

export interface Position {
  /** Which change log it is of: the first claim in it names it. Empty before that was read. */
  log: string;
  /** Of the last claim that counts. */
  epoch: number;
  /** The run of the process whose claim that is. */
  leader: string;
  /** Where it answers requests; empty where it does not say. */
  address: string;
  /** The last group in the file. */
  seq: number;
  /** The last one that has been read in the log. */
  confirmed: number;
  /** The offset to read next. */
  next: number;
}

const START = { log: "", epoch: 0, leader: "", address: "", seq: 0, confirmed: 0, next: 0, led: "" };

const BESIDE = ["", "-wal", "-shm"];

/** The database file of an instance, and how far it is. */
export class ReplicaFile {
  position: Position;
  /** The offset from which the log is read after a restart: a group that was read in part is read anew. */
  resume: number;
  readonly database: ServiceDatabase;
  readonly #applier: Applier;
  readonly #statements;
  #saved: Position;
  #applied = 0;

  constructor({ path, ...options }: OpenOptions & { readonly path: string }) {
    this.database = openDatabase(path, options);
    const { sql } = this.database;
    // What a foreign key did is among the changes.
    sql.run("PRAGMA foreign_keys = OFF");
    sql.run(
      `CREATE TABLE IF NOT EXISTS replication (
         singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
         epoch INTEGER NOT NULL DEFAULT 0, leader TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '',
         seq INTEGER NOT NULL DEFAULT 0, confirmed INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0,
         -- The last run of a process that led on this file.
         led TEXT NOT NULL DEFAULT '',
         log TEXT NOT NULL DEFAULT ''
       ) STRICT`,
    );
    // Of a file from before snapshots.
    const column = "SELECT 1 FROM pragma_table_info('replication') WHERE name = 'log'";
    if (sql.query(column).get() === null)
      sql.run("ALTER TABLE replication ADD COLUMN log TEXT NOT NULL DEFAULT ''");
    sql.run("CREATE TABLE IF NOT EXISTS change_log (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT");
    sql.run("INSERT OR IGNORE INTO replication (singleton) VALUES (1)");
    sql.transaction(() => setTriggersAside(sql)).immediate();
    this.#applier = new Applier(sql);
    this.#statements = {
      get: sql.prepare<Position & { led: string }, []>(
        "SELECT log, epoch, leader, address, seq, confirmed, next, led FROM replication",
      ),
      set: sql.prepare(
        "UPDATE replication SET log = ?, epoch = ?, leader = ?, address = ?, seq = ?, confirmed = ?, next = ?",
      ),
      led: sql.prepare("UPDATE replication SET led = ?"),
      add: sql.prepare("INSERT INTO change_log VALUES (?, ?)"),
      after: sql.prepare<{ seq: number; body: Uint8Array }, [number, number]>(
        "SELECT seq, body FROM change_log WHERE seq > ? ORDER BY seq LIMIT ?",
      ),
      forget: sql.prepare("DELETE FROM change_log WHERE seq <= ?"),
    };
    this.position = this.#get();
    this.resume = this.position.next;
    this.#saved = { ...this.position };
  }

  /** Whether the last claim in the log, as far as it was read, is that of an earlier process on this file. */
  wasLeader(): boolean {
    const row = this.#statements.get.get();
    return row !== null && row.leader !== "" && row.leader === row.led;
  }

  /** Whether there is anything beside the log. */
  hasTables(): boolean {
    return replicatedTables(this.database.sql).length > 0;
  }

  /** Applies a group, in a transaction that `save` ends. */
  apply(seq: number, changes: string): void {
    const { sql } = this.database;
    if (!sql.inTransaction) sql.run("BEGIN IMMEDIATE");
    this.#applier.apply(changes);
    this.position.seq = seq;
    this.position.confirmed = seq;
    this.#applied += 1;
    if (this.#applied >= APPLY) this.save();
  }

  /** Stores the position, if a group was applied, another instance leads, or the log has a name now. */
  save(): void {
    const { sql } = this.database;
    const { seq, epoch, log } = this.position;
    const isKnown = epoch === this.#saved.epoch && (log === "" || log === this.#saved.log);
    if (!sql.inTransaction && isKnown) return;
    this.#setPosition(seq);
    if (sql.inTransaction) sql.run("COMMIT");
    this.#applied = 0;
    this.#saved = { ...this.position, next: this.resume };
  }

  /** Goes back to what is on disk. */
  undo(): void {
    const { sql } = this.database;
    if (sql.inTransaction) sql.run("ROLLBACK");
    this.#applied = 0;
    this.position = { ...this.#saved };
    this.resume = this.#saved.next;
  }

  /** In the transaction of a group: adds what it changed to the change log. */
  add(changes: string): void {
    const { seq, confirmed } = this.position;
    this.#statements.add.run(seq + 1, compress(changes));
    this.#statements.forget.run(confirmed);
    this.#setPosition(seq + 1);
  }

  /** A transaction has been committed, in which a group may have been added: what is on disk counts. */
  committed(): void {
    this.position.seq = this.#get().seq;
  }

  /** Groups that may not be in the log. */
  after(seq: number, limit: number): { readonly seq: number; readonly body: Uint8Array }[] {
    return this.#statements.after.all(seq, limit);
  }

  begin(instance: string): void {
    const { sql } = this.database;
    this.#statements.led.run(instance);
    this.save();
    this.#applier.close();
    sql.transaction(() => restoreTriggers(sql)).immediate();
    sql.run("PRAGMA foreign_keys = ON");
  }

  /** Whether nothing was stored in it yet. */
  isEmpty(): boolean {
    return this.position.seq === 0 && !this.hasTables();
  }

  /**
   * Writes a snapshot with all groups of this file.
   *
   * @returns its place in the log
   */
  copyTo(path: string): Position {
    this.save();
    // A statement that reads, as the outbox has one, is in the way of VACUUM on its own connection.
    using reader = new Database(this.database.path, { readonly: true });
    reader.run("VACUUM INTO ?", [path]);
    const position = { ...this.position, next: this.resume };
    turnIntoSnapshot(path, position);
    return position;
  }

  /** @returns where the file is now */
  setAside(): string {
    const { path } = this.database;
    const first = `${path}.set-aside-${this.position.epoch}`;
    let aside = first;
    for (let count = 2; existsSync(aside); count += 1) aside = `${first}-${count}`;
    this.undo();
    this.close();
    for (const suffix of BESIDE) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
    return aside;
  }

  /** Of a file that is empty. */
  remove(): undefined {
    const { path } = this.database;
    this.undo();
    this.close();
    for (const suffix of BESIDE) rmSync(path + suffix, { force: true });
  }

  close(): void {
    if (this.database.sql.inTransaction) this.undo();
    for (const statement of Object.values(this.#statements)) statement.finalize();
    this.#applier.close();
    this.database.close();
  }

  #setPosition(seq: number): void {
    const { log, epoch, leader, address, confirmed } = this.position;
    this.#statements.set.run(log, epoch, leader, address, seq, confirmed, this.resume);
  }

  #get(): Position {
    const { led: _, ...position } = { ...START, ...this.#statements.get.get() };
    return position;
  }
}
