import type { ServiceDatabase } from "../database.ts";
import type { IncomingRecord } from "../transport/transport.ts";

export interface Position {
  /** The offset of the first record that has not been handled. */
  readonly next: number;
  /** The fingerprint of the record before it. */
  readonly lastRecord: string | null;
}

/**
 * How far each partition has been handled: written with the effects, so that the two can never disagree. The
 * broker's own committed offsets are a copy for people to look at.
 */
export class Offsets {
  readonly #get;
  readonly #set;
  readonly #forget;

  constructor(database: ServiceDatabase) {
    this.#get = database.sql.prepare<Position, [string, number]>(
      "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
    );
    this.#set = database.sql.prepare(
      `INSERT INTO consumer_offsets (topic, partition, next_offset, last_record) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, last_record = excluded.last_record`,
    );
    this.#forget = database.sql.prepare("DELETE FROM consumer_offsets WHERE topic = ? AND partition = ?");
  }

  get(topic: string, partition: number): Position | undefined {
    return this.#get.get(topic, partition) ?? undefined;
  }

  /** Everything up to and including `record` has been handled. Only inside a transaction. */
  passed(record: IncomingRecord): void {
    this.#set.run(record.topic, record.partition, record.offset + 1, fingerprint(record));
  }

  /** Begins again at the start of the log. Only inside a transaction. */
  forget(topic: string, partition: number): void {
    this.#forget.run(topic, partition);
  }

  close(): void {
    for (const statement of [this.#get, this.#set, this.#forget]) statement.finalize();
  }
}

/** Tells records apart; not a secret, not a proof. */
export function fingerprint(record: IncomingRecord): string {
  return Bun.hash.xxHash64(record.value ?? new Uint8Array(), BigInt(record.offset)).toString(16);
}
