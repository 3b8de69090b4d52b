import type { ServiceDatabase } from "../database.ts";
import type { OutgoingRecord } from "../transport/transport.ts";

/** A record that waits to be sent. */
export interface OutboxRow extends OutgoingRecord {
  readonly seq: number;
}

interface StoredRow {
  seq: number;
  topic: string;
  key: string | null;
  value: Uint8Array | null;
  headers: string;
}

/**
 * The messages that a transaction emitted, in the order in which it did, until the broker has them. Written in
 * the same transaction as the change that they tell of: either both are there or neither.
 */
export class Outbox {
  readonly #insert;
  readonly #after;
  readonly #delete;
  readonly #first;
  readonly #last;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#insert = sql.prepare(
      "INSERT INTO outbox (topic, key, value, headers, created_at) VALUES (?, ?, ?, ?, ?)",
    );
    this.#after = sql.prepare<StoredRow, [number, number]>(
      "SELECT seq, topic, key, value, headers FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
    );
    this.#delete = sql.prepare("DELETE FROM outbox WHERE seq <= ?");
    this.#first = sql.prepare<{ seq: number; created_at: number }, []>(
      "SELECT seq, created_at FROM outbox ORDER BY seq LIMIT 1",
    );
    this.#last = sql.prepare<{ seq: number }, []>("SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1");
  }

  /** Adds a record. Only inside a transaction. */
  enqueue(record: OutgoingRecord, nowMs: number): void {
    const value = typeof record.value === "string" ? Buffer.from(record.value) : record.value;
    this.#insert.run(record.topic, record.key, value, JSON.stringify(record.headers), nowMs);
  }

  /**
   * Records behind `seq`, oldest first: up to `limit` of them and `maxBytes` of values, but at least one if
   * there is any.
   */
  after(seq: number, limit: number, maxBytes: number): OutboxRow[] {
    const rows: OutboxRow[] = [];
    let bytes = 0;
    for (const row of this.#after.iterate(seq, limit)) {
      bytes += row.value?.byteLength ?? 0;
      if (rows.length > 0 && bytes > maxBytes) break;
      rows.push({ ...row, headers: JSON.parse(row.headers) as Record<string, string> });
    }
    return rows;
  }

  /** Drops what the broker has acknowledged: everything up to and including `seq`. Only inside a transaction. */
  acknowledge(seq: number): void {
    this.#delete.run(seq);
  }

  /**
   * How many records wait. Rows leave from the front only and sequence numbers have no gaps, so the two ends
   * tell, however long the queue is.
   */
  depth(): number {
    const first = this.#first.get();
    const last = this.#last.get();
    return first && last ? last.seq - first.seq + 1 : 0;
  }

  /** When the oldest waiting record was emitted, in milliseconds since the epoch. */
  oldestAt(): number | undefined {
    return this.#first.get()?.created_at;
  }

  close(): void {
    for (const statement of [this.#insert, this.#after, this.#delete, this.#first, this.#last]) {
      statement.finalize();
    }
  }
}
