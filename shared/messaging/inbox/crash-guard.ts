import type { ServiceDatabase } from "../database.ts";
import type { IncomingRecord } from "../transport/transport.ts";

/** A message that has taken the process down this often is parked. */
export const MAX_CRASHES = 3;

/**
 * Finds the message that kills its process, by an endless loop of memory or a fault in native code, where no
 * exception says which one it was. After an unclean stop, each partition's first batch is handled one message
 * at a time, and each is written down before it begins. One that is found written down was the last thing
 * that a process did.
 */
export class CrashGuard {
  /** Whether the last process on this file died at work. */
  readonly afterCrash: boolean;
  readonly #count;
  readonly #begin;
  readonly #end;
  readonly #running;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#running = sql.prepare("UPDATE process SET running = ?");
    this.#count = sql.prepare<{ count: number }, [string, number, number]>(
      "SELECT count FROM attempts WHERE topic = ? AND partition = ? AND offset = ?",
    );
    this.#begin = sql.prepare(
      `INSERT INTO attempts (topic, partition, offset, count) VALUES (?, ?, ?, 1)
       ON CONFLICT DO UPDATE SET count = count + 1`,
    );
    this.#end = sql.prepare("DELETE FROM attempts WHERE topic = ? AND partition = ? AND offset <= ?");
    this.afterCrash = sql.query<{ running: number }, []>("SELECT running FROM process").get()?.running === 1;
  }

  /** A process is at work on the file, or has stopped in good order. Only inside a transaction. */
  setRunning(running: boolean): void {
    this.#running.run(running ? 1 : 0);
  }

  /** How often a process died with this message. */
  crashes({ topic, partition, offset }: IncomingRecord): number {
    return this.#count.get(topic, partition, offset)?.count ?? 0;
  }

  /** Writes down that it begins. In a transaction of its own, before the one that handles it. */
  begin({ topic, partition, offset }: IncomingRecord): void {
    this.#begin.run(topic, partition, offset);
  }

  /** It has ended, and all before it. Only inside the transaction that handles it. */
  end({ topic, partition, offset }: IncomingRecord): void {
    this.#end.run(topic, partition, offset);
  }

  close(): void {
    for (const statement of [this.#running, this.#count, this.#begin, this.#end]) statement.finalize();
  }
}
