import type { Database } from "bun:sqlite";
import { allMessages } from "@distributed-messaging/contracts";
import type {
  IncomingRecord,
  Message,
  StopReason,
  StoredId,
  Transaction,
  Transport,
} from "@distributed-messaging/messaging";
import { fingerprintOfBytes } from "@distributed-messaging/messaging/internal";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/** The calls to a prepared statement that the kit and drizzle make. */
export interface StatementCalls {
  run(...parameters: unknown[]): { changes: number; lastInsertRowid: number | bigint };
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
  values(...parameters: unknown[]): unknown[][];
}

/** The fault that is seeded into one service. It keeps its state for as long as the database lives. */
export interface SeededFault {
  /** Changes the schema after the migrations. */
  schema?(sql: Database): void;
  /** Replaces the text of a statement. With `""` nothing is run. */
  rewrite?(sql: string): string;
  /** Replaces calls to a prepared statement. */
  statement?(sql: string, original: StatementCalls): Partial<StatementCalls>;
  transport?(original: Transport): Transport;
  /** Replaces the transaction that the handler of a message gets. */
  transaction?(original: Transaction, message: Message): Transaction;
}

/**
 * A variant of the kit in which one protection is disabled. Mutants test the simulation: each must be detected, that
 * is, it must lead to a violation with some seed.
 */
export interface Mutant {
  readonly name: string;
  /** Called once for each service of a run. */
  seed(): SeededFault;
}

export const mutants: readonly Mutant[] = [
  mutant("inbox claim: a message that was handled before is handled again", {
    statement: (sql, original) =>
      sql.startsWith("INSERT INTO inbox")
        ? { run: (...parameters) => ({ ...original.run(...parameters), changes: 1 }) }
        : {},
  }),
  { name: "offsets: stored outside of the transaction that has the effects", seed: offsetsOutside },
  mutant("relay: two publishes at once", {
    transport: ({ publish, ...others }) => ({
      ...others,
      publish: async (records) => {
        const half = Math.ceil(records.length / 2);
        await Promise.all([records.slice(0, half), records.slice(half)].map((part) => publish(part)));
      },
    }),
  }),
  mutant("relay: outbox rows are deleted before the broker has acknowledged their records", {
    transport: ({ publish, ...others }) => ({
      ...others,
      publish: async (records) => {
        publish(records).catch(() => {});
      },
    }),
  }),
  mutant("relay: what was acknowledged is sent again because a neighbour failed", {
    transport: ({ publish, ...others }) => ({
      ...others,
      publish: (records) =>
        publish(records).catch((error: unknown) => {
          throw new Error("the send failed", { cause: error });
        }),
    }),
  }),
  mutant("outbox: later records of a parked key are sent", {
    rewrite: (sql) =>
      sql.startsWith("SELECT id FROM parked_outgoing") ? sql.replace("WHERE", "WHERE FALSE AND") : sql,
  }),
  mutant("outbox: sequence numbers are reused after it was empty", {
    schema: (sql) => {
      sql.run("DROP TABLE outbox");
      sql.run(
        `CREATE TABLE outbox (
           seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, key TEXT, value BLOB, headers TEXT NOT NULL,
           created_at INTEGER NOT NULL
         ) STRICT`,
      );
    },
  }),
  mutant("unit of work: the writes of a function that throws are not rolled back", {
    rewrite: (sql) => (sql === "ROLLBACK TO work" ? "" : sql),
  }),
  mutant("unit of work: a function that throws fails its whole group", {
    // The group would run again, each function with a savepoint of its own.
    rewrite: (sql) => {
      if (sql === "SAVEPOINT work") throw new Error("another function of the group failed");
      return sql;
    },
  }),
  mutant("dead letters: later messages of a blocked key are handled", {
    statement: (sql) =>
      sql.startsWith("SELECT id FROM dead_letters WHERE topic = +? AND key = +?") ? { get: () => null } : {},
  }),
  mutant("log identity: a recreated topic is read from the offset in the old one", {
    transport: ({ subscribe, ...others }) => ({
      ...others,
      subscribe: (options) =>
        subscribe({
          ...options,
          rereadsLast: false,
          startAt: (topic, partition) => {
            const start = options.startAt(topic, partition);
            return start === undefined ? undefined : start + 1;
          },
        }),
    }),
  }),
  mutant("acceptance: a message is accepted from any source", {
    transport: reading((record, envelope) => {
      const { source } = allMessages.find(({ type }) => type === envelope.type) ?? envelope;
      return { ...record, value: Buffer.from(JSON.stringify({ ...envelope, source })) };
    }),
  }),
  mutant("acceptance: a message is accepted under any key", {
    transport: reading((record, { subject }) => ({ ...record, key: subject })),
  }),
  mutant("horizon: older messages of a log that is read anew are handled without a question", {
    statement: (sql, original) =>
      sql.startsWith("INSERT INTO rereads")
        ? { run: (topic, partition, until) => original.run(topic, partition, until, "handle") }
        : {},
  }),
  mutant("horizon: messages that are too old to be known are handled", {
    statement: (sql) => {
      if (sql.startsWith("SELECT count(*) AS count FROM rereads")) return { get: () => ({ count: 1 }) };
      if (!sql.startsWith("SELECT until_offset")) return {};
      return { get: () => ({ until: Number.MAX_SAFE_INTEGER, older: "handle" }) };
    },
  }),
  mutant("horizon: claims after it are deleted", {
    statement: (sql, original) =>
      sql.startsWith("DELETE FROM inbox") ? { run: () => original.run(Number.MAX_SAFE_INTEGER) } : {},
  }),
  {
    name: "stopped partitions: records that retention removed unread are left out without a question",
    seed: () => skipping("gap"),
  },
  {
    name: "stopped partitions: an undecodable batch is left out without a question",
    seed: () => skipping("undecodable-batch"),
  },
  { name: "dead letters: what is discarded is not claimed", seed: unclaimedDiscards },
  mutant("message ids: drawn at random", {
    transaction: (original, { id, correlationid }) =>
      original.causedBy({ correlationId: correlationid, causationId: id }),
  }),
  mutant("crash guard: attempts are not recorded", {
    rewrite: (sql) =>
      sql.includes("INSERT INTO attempts")
        ? "DELETE FROM attempts WHERE topic = ? AND partition = ? AND offset = ? AND FALSE"
        : sql,
  }),
  mutant("timers: a timer is not removed by the transaction that fires it", {
    rewrite: (sql) => (sql.startsWith("DELETE FROM timers") ? `${sql} AND attempts > 0` : sql),
  }),
  { name: "effects: an effect is not removed by the transaction that applies its result", seed: keptEffects },
];

/** As if an operator had every stop for this reason skipped at once. */
function skipping(skipped: StopReason): SeededFault {
  let database: Database | undefined;
  return {
    schema: (sql) => {
      database = sql;
    },
    statement: (sql, original) =>
      sql.startsWith("INSERT INTO partition_stops")
        ? {
            run: (topic, partition, offset, next, reason, error, bytes, ...rest) => {
              if (database === undefined || reason !== skipped) {
                return original.run(topic, partition, offset, next, reason, error, bytes, ...rest);
              }
              const lastRecord = bytes instanceof Uint8Array ? fingerprintOfBytes(bytes, Number(next)) : null;
              return database
                .query(
                  `INSERT INTO consumer_offsets (topic, partition, next_offset, last_record) VALUES (?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, last_record = excluded.last_record`,
                )
                .run(String(topic), Number(partition), Number(next), lastRecord);
            },
          }
        : {},
  };
}

/** As if a discard only deleted the dead letter. */
function unclaimedDiscards(): SeededFault {
  let database: Database | undefined;
  /** Claimed since a dead letter was looked up. */
  let claimed: StoredId[] = [];
  return {
    schema: (sql) => {
      database = sql;
    },
    statement: (sql, original) => {
      if (sql.includes("FROM dead_letters WHERE id = ?") && sql.startsWith("SELECT")) {
        return {
          get: (id) => {
            claimed = [];
            return original.get(id);
          },
        };
      }
      if (sql.startsWith("INSERT INTO inbox")) {
        return {
          run: (id, handledAt) => {
            const result = original.run(id, handledAt);
            if (result.changes === 1 && (typeof id === "string" || id instanceof Uint8Array))
              claimed.push(id);
            return result;
          },
        };
      }
      if (!sql.startsWith("INSERT INTO dead_letter_actions")) return {};
      return {
        run: (letter, action, ...rest) => {
          for (const id of action === "discard" ? claimed : []) {
            database?.run("DELETE FROM inbox WHERE message_id = ?", [id]);
          }
          return original.run(letter, action, ...rest);
        },
      };
    },
  };
}

/** As if each effect were removed after its second result. */
function keptEffects(): SeededFault {
  const applied = new Set<unknown>();
  return {
    statement: (sql, original) =>
      sql.startsWith("DELETE FROM durable_effects WHERE key")
        ? {
            run: (key) => {
              if (applied.has(key)) return original.run(key);
              applied.add(key);
              return { changes: 1, lastInsertRowid: 0 };
            },
          }
        : {},
  };
}

function mutant(name: string, fault: SeededFault): Mutant {
  return { name, seed: () => fault };
}

const Attributes = Type.Object({ type: Type.String(), source: Type.String(), subject: Type.String() });

/** A transport that changes the CloudEvents among the records that are read. */
function reading(
  change: (record: IncomingRecord, envelope: Static<typeof Attributes>) => IncomingRecord,
): (original: Transport) => Transport {
  const changed = (record: IncomingRecord): IncomingRecord => {
    try {
      const envelope: unknown = JSON.parse(Buffer.from(record.value ?? []).toString());
      return Value.Check(Attributes, envelope) ? change(record, envelope) : record;
    } catch {
      return record;
    }
  };
  return ({ subscribe, ...others }) => ({
    ...others,
    subscribe: (options) =>
      subscribe({
        ...options,
        handle: (batch) => options.handle({ ...batch, records: batch.records.map(changed) }),
      }),
  });
}

/** As if offsets were stored in a file of their own, to which no ROLLBACK applies. */
function offsetsOutside(): SeededFault {
  const offsets = new Map<string, unknown>();
  const partitionOf = (topic: unknown, partition: unknown) => `${topic}/${partition}`;
  return {
    statement(sql, original) {
      if (sql.startsWith("SELECT next_offset")) {
        return { get: (topic, partition) => offsets.get(partitionOf(topic, partition)) ?? null };
      }
      if (sql.startsWith("INSERT INTO consumer_offsets")) {
        return {
          run: (topic, partition, next, lastRecord) => {
            offsets.set(partitionOf(topic, partition), { next, lastRecord });
            return original.run(topic, partition, next, lastRecord);
          },
        };
      }
      if (sql.startsWith("DELETE FROM consumer_offsets")) {
        return {
          run: (topic, partition) => {
            offsets.delete(partitionOf(topic, partition));
            return original.run(topic, partition);
          },
        };
      }
      return {};
    },
  };
}
