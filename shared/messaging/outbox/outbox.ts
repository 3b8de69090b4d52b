import type { MessageDefinition } from "../contract/define.ts";
import {
  ContractViolation,
  type EncodedMessage,
  encode,
  message,
  type Trace,
  traceOf,
} from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import type { OutgoingRecord } from "../transport/transport.ts";
import type { ParkedRecords, ParkedSummary } from "./parked.ts";

/** What an emitted message is attributed to: the message or the request whose work emitted it. */
export interface Cause extends Trace {
  /** Of the message or request that began the whole chain. */
  readonly correlationId: string;
  readonly causationId: string;
  /**
   * Derives the ids of what is emitted from this and the order of emission, instead of drawing them at random. Only for
   * a cause that one transaction handles, however often: of two transactions with the same seed, readers drop the
   * messages of the second.
   */
  readonly idSeed?: string;
}

/**
 * The header that says where a record stands among all that its service has emitted: `<epoch>.<number>`, the epoch of the
 * owner and the number in its outbox. Over all topics and partitions, records were emitted in the order of these.
 */
export const SEQUENCE = "sequence";

/** A record that waits to be sent. */
export interface OutboxRow extends OutgoingRecord {
  readonly seq: number;
}

/** The records with these sequence numbers, both ends included. */
export interface SeqRange {
  readonly from: number;
  readonly to: number;
}

interface StoredRow {
  seq: number;
  topic: string;
  key: string | null;
  value: Uint8Array | null;
  headers: string;
}

/**
 * The transactional outbox: emitted messages, in the order of their emission, until the broker has acknowledged them.
 * A message is written in the transaction of the change that it is about, so either both exist or neither.
 */
export class Outbox {
  /** Of the messages: the service, or the instance of it. */
  readonly source: string;
  readonly #service: string;
  readonly #sql;
  readonly #insert;
  readonly #after;
  readonly #last;
  readonly #has;
  readonly #delete;
  readonly #first;
  readonly #ends;
  readonly #count;
  readonly #parked: ParkedRecords;
  /** The messages of one commit have one time. */
  #time = { ms: Number.NaN, text: "" };
  /** Records have left from other places than the front: the two ends no longer give the number. */
  #mayHaveGaps = true;
  /** What `depth` found, until the next write. */
  #depth: number | undefined;
  /** Of the owner that sends; 0 where a service has no owners. */
  epoch = 0;
  /** Of a replicated service, what comes later may be lost with this instance, and is not to be sent. */
  #confirmed: number;

  constructor({ sql, replication }: ServiceDatabase, parked: ParkedRecords, service: string, source: string) {
    this.#sql = sql;
    this.#parked = parked;
    this.#service = service;
    this.source = source;
    this.#insert = sql.prepare(
      "INSERT INTO outbox (topic, key, value, headers, created_at) VALUES (?, ?, CAST(? AS BLOB), ?, ?)",
    );
    this.#after = sql.prepare<StoredRow, [number, number, number]>(
      "SELECT seq, topic, key, value, headers FROM outbox WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
    );
    this.#last = sql.prepare<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'");
    this.#has = sql.prepare<{ seq: number }, [number]>("SELECT seq FROM outbox WHERE seq = ?");
    this.#delete = sql.prepare("DELETE FROM outbox WHERE seq BETWEEN ? AND ?");
    this.#first = sql.prepare<{ seq: number; created_at: number }, []>(
      "SELECT seq, created_at FROM outbox ORDER BY seq LIMIT 1",
    );
    this.#ends = sql.prepare<{ first: number | null; last: number | null }, []>(
      "SELECT (SELECT min(seq) FROM outbox) AS first, (SELECT max(seq) FROM outbox) AS last",
    );
    this.#count = sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM outbox");
    // An instance leads once everything is confirmed that its file had.
    this.#confirmed = replication === undefined ? Number.MAX_SAFE_INTEGER : this.last();
  }

  /** The last record that was ever enqueued. */
  last(): number {
    return this.#last.get()?.seq ?? 0;
  }

  /** Whether a record is still here: a record that is not was acknowledged, or is parked. */
  has(seq: number): boolean {
    return this.#has.get(seq) !== null;
  }

  /** Records up to this one may be sent. */
  confirmed(seq: number): void {
    this.#confirmed = seq;
  }

  /**
   * Puts data into its envelope.
   *
   * @throws ContractViolation as `Transaction.emit` does
   */
  encode(
    definition: MessageDefinition,
    data: unknown,
    id: string,
    cause: Cause | undefined,
    nowMs: number,
  ): EncodedMessage {
    if (definition.source !== this.#service) {
      throw new ContractViolation(
        `${definition.type}: ${definition.source} may send it, ${this.#service} may not`,
      );
    }
    if (this.#time.ms !== nowMs) this.#time = { ms: nowMs, text: new Date(nowMs).toISOString() };
    const envelope = message(definition, data, {
      id,
      source: this.source,
      time: this.#time.text,
      correlationid: cause?.correlationId ?? id,
      causationid: cause?.causationId ?? id,
      ...traceOf(cause ?? {}),
    });
    return encode(definition, envelope);
  }

  /**
   * Adds a record. If an earlier one of its topic and key is parked, it is parked behind that one.
   *
   * @throws StorageError when no more records may be parked
   */
  enqueue(record: OutgoingRecord, nowMs: number): void {
    if (this.#parked.blocks(record)) {
      this.#parked.add(record, nowMs);
      return;
    }
    this.#depth = undefined;
    const { topic, key, value, headers } = record;
    this.#insert.run(topic, key, value, JSON.stringify(headers), nowMs);
  }

  /** Records after `seq`, oldest first: at most `limit` of them and `maxBytes` of values, but at least one if any. */
  after(seq: number, limit: number, maxBytes: number): OutboxRow[] {
    const rows: OutboxRow[] = [];
    let bytes = 0;
    for (const row of this.#after.iterate(seq, this.#confirmed, limit)) {
      bytes += row.value?.byteLength ?? 0;
      if (rows.length > 0 && bytes > maxBytes) break;
      const headers = JSON.parse(row.headers) as Record<string, string>;
      rows.push({ ...row, headers: { ...headers, [SEQUENCE]: `${this.epoch}.${row.seq}` } });
    }
    return rows;
  }

  /** Deletes records that the broker has acknowledged. */
  acknowledge({ from, to }: SeqRange): void {
    this.#depth = undefined;
    const first = this.#first.get();
    if (first !== null && first.seq < from) this.#mayHaveGaps = true;
    this.#delete.run(from, to);
  }

  /** Parks a record that the broker refuses, and the later ones of its topic and key. */
  park({ seq, topic, key }: OutboxRow, error: string, nowMs: number): void {
    this.#depth = undefined;
    this.#mayHaveGaps = true;
    this.#parked.take("seq = ?", [seq], "record", error, nowMs);
    if (key === null) return;
    this.#parked.take("topic = ? AND key = ?", [topic, key], "blocked", "an earlier record is parked", nowMs);
  }

  /** Parks all records of a topic. */
  parkTopic(topic: string, error: string, nowMs: number): void {
    this.#depth = undefined;
    this.#mayHaveGaps = true;
    this.#parked.take("topic = ?", [topic], "topic", error, nowMs);
  }

  /** Moves a parked record and all others of its topic and key to the end. */
  release(record: ParkedSummary): void {
    this.#depth = undefined;
    this.#parked.release(record);
  }

  /**
   * How many records wait. It is read once after each write: who asks before every request does not make requests
   * slower.
   */
  depth(): number {
    if (this.#depth !== undefined) return this.#depth;
    const depth = this.#readDepth();
    // What a transaction has written may be rolled back.
    if (!this.#sql.inTransaction) this.#depth = depth;
    return depth;
  }

  /**
   * As long as records leave from the front only, sequence numbers have no gaps, and the two ends give the number
   * without counting.
   */
  #readDepth(): number {
    const { first, last } = this.#ends.get() ?? { first: null, last: null };
    if (first === null || last === null) return 0;
    const most = last - first + 1;
    if (!this.#mayHaveGaps) return most;
    const count = this.#count.get()?.count ?? 0;
    if (!this.#sql.inTransaction) this.#mayHaveGaps = count !== most;
    return count;
  }

  /** When the oldest waiting record was emitted, in milliseconds since the epoch. */
  oldestAt(): number | undefined {
    return this.#first.get()?.created_at;
  }

  close(): void {
    const statements = [
      this.#insert,
      this.#after,
      this.#last,
      this.#has,
      this.#delete,
      this.#first,
      this.#ends,
      this.#count,
    ];
    for (const statement of statements) statement.finalize();
  }
}
