import type { Mutation, ServiceMutation, StatementCalls } from "./mutation.ts";

/** The kit with one of its protections taken away, each in the way in which it would be forgotten. */
export const mutations: readonly Mutation[] = [
  everywhere("inbox claim: a message that was handled before is handled again", {
    statement: (sql, original) =>
      sql.startsWith("INSERT INTO inbox")
        ? { run: (...parameters) => ({ ...original.run(...parameters), changes: 1 }) }
        : {},
  }),
  {
    name: "offsets: written outside of the transaction that has the effects",
    create: offsetsOutside,
  },
  everywhere("relay: two sends under way at once", {
    transport: ({ subscribe, publish }) => ({
      subscribe,
      publish: async (records) => {
        const half = Math.ceil(records.length / 2);
        await Promise.all([records.slice(0, half), records.slice(half)].map((part) => publish(part)));
      },
    }),
  }),
  everywhere("relay: what was sent is deleted before the broker has acknowledged it", {
    transport: ({ subscribe, publish }) => ({
      subscribe,
      publish: async (records) => {
        publish(records).catch(() => {});
      },
    }),
  }),
  everywhere("outbox: sequence numbers are used again once it was empty", {
    file: (sql) => {
      sql.run("DROP TABLE outbox");
      sql.run(
        `CREATE TABLE outbox (
           seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, key TEXT, value BLOB, headers TEXT NOT NULL,
           created_at INTEGER NOT NULL
         ) STRICT`,
      );
    },
  }),
  everywhere("unit of work: what throws leaves half of its effect", {
    rewrite: (sql) => (sql === "ROLLBACK TO work" ? "" : sql),
  }),
  everywhere("unit of work: what throws takes its neighbours with it", {
    // As if the group did not run again, work by work: all of it fails with what one of it threw.
    rewrite: (sql) => {
      if (sql === "SAVEPOINT work") throw new Error("another work of the group failed");
      return sql;
    },
  }),
  everywhere("dead letters: later messages of the key overtake", {
    statement: (sql) =>
      sql.startsWith("SELECT id FROM dead_letters WHERE topic = ? AND key = ?") ? { get: () => null } : {},
  }),
  everywhere("log recognition: a topic that was made anew is read on from where the old one was left", {
    transport: ({ publish, subscribe }) => ({
      publish,
      subscribe: (options) =>
        subscribe({
          ...options,
          startAt: (topic, partition) => {
            const start = options.startAt(topic, partition);
            return start === undefined ? undefined : start + 1;
          },
        }),
    }),
  }),
  everywhere("attempts: nobody writes down which message began before the process died", {
    rewrite: (sql) =>
      sql.includes("INSERT INTO attempts")
        ? "DELETE FROM attempts WHERE topic = ? AND partition = ? AND offset = ? AND FALSE"
        : sql,
  }),
  everywhere("timers: a deadline is not removed by the transaction that carries it out", {
    rewrite: (sql) => (sql.startsWith("DELETE FROM timers") ? `${sql} AND attempts > 0` : sql),
  }),
];

function everywhere(name: string, mutation: ServiceMutation): Mutation {
  return { name, create: () => mutation };
}

/** As if the offsets were kept in a file of their own: what is written there no ROLLBACK takes back. */
function offsetsOutside(): ServiceMutation {
  const offsets = new Map<string, unknown>();
  const placeOf = (topic: unknown, partition: unknown) => `${topic}/${partition}`;
  return {
    statement(sql: string, original: StatementCalls) {
      if (sql.startsWith("SELECT next_offset")) {
        return { get: (topic, partition) => offsets.get(placeOf(topic, partition)) ?? null };
      }
      if (sql.startsWith("INSERT INTO consumer_offsets")) {
        return {
          run: (topic, partition, next, lastRecord) => {
            offsets.set(placeOf(topic, partition), { next, lastRecord });
            return original.run(topic, partition, next, lastRecord);
          },
        };
      }
      if (sql.startsWith("DELETE FROM consumer_offsets")) {
        return {
          run: (topic, partition) => {
            offsets.delete(placeOf(topic, partition));
            return original.run(topic, partition);
          },
        };
      }
      return {};
    },
  };
}
