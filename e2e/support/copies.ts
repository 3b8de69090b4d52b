import { Database } from "bun:sqlite";
import { eventually } from "@distributed-messaging/messaging/testing";
import { activeActiveServices } from "@distributed-messaging/services/registry";

const LIMIT_MS = 60_000;
const EXAMPLE_CHARACTERS = 300;

/** The database of an instance. */
interface Copy {
  /** Of the instance. */
  readonly name: string;
  readonly service: string;
  readonly file: string;
}

/** What each instance of a replicated service has of its own. */
const OWN_OF_REPLICATED: readonly string[] = [
  "replication",
  "change_log",
  "replication_triggers",
  "ownership",
];

/** What each instance has of its own where all work: it does not follow from the topics. */
const OWN_OF_ACTIVE: readonly string[] = [
  // Which file it is, and since when it works.
  "ownership",
  "cursors",
  "inbox_horizon",
  // Numbers in the order in which it came to know things.
  "sqlite_sequence",
  // The requests that it has answered, and the topics that it has sent to.
  "idempotency_keys",
  "topic_partitions",
  // That a new file reads again what its name had read before, and other decisions about what it reads.
  "partition_actions",
];

/** What of a table follows from the topics, where that is not all of it. Numbers, and when something was stored, do not. */
const FROM_TOPICS: Readonly<Record<string, string>> = {
  consumer_offsets: "SELECT topic, partition, next_offset FROM consumer_offsets",
  inbox: "SELECT quote(message_id) AS id FROM inbox",
  // When an order was placed: the gateway that took it says when that was, another one when the order service had it.
  orders: "SELECT order_id, customer_id, items, total, currency FROM orders",
  // Without a generation: a command, which only the gateway that sent it shows.
  order_steps: `SELECT order_id, quote(message_id) AS id, quote(cause_id) AS cause, at, type, service, shortages, revision,
      reason FROM order_steps JOIN orders ON orders.seq = order_seq WHERE order_steps.generation IS NOT NULL`,
  notifications: `SELECT quote(notification_id) AS id, customer_id, order_id, type, message, at, partition, "offset"
    FROM notifications`,
  // From a setting, which is the same at all.
  token_keys: "SELECT key_id, public_key, state FROM token_keys",
};

/** Waits until all instances of a service have the same rows in every table, as they have once nothing happens. */
export async function untilEqual(instances: readonly Copy[]): Promise<void> {
  await eventually(
    () => {
      const wrong = differences(instances);
      if (wrong.length > 0) throw new Error(wrong.join(", "));
      return true;
    },
    `all copies of ${instances[0]?.service} to be the same`,
    LIMIT_MS,
  );
}

/** The tables in which instances differ from the first one, with a row that one of them has not. */
export function differences(instances: readonly Copy[]): string[] {
  const [first, ...others] = instances.map((instance) => ({ ...instance, content: contentOf(instance) }));
  if (first === undefined) throw new TypeError("there is no instance");
  return others.flatMap(({ name, content }) =>
    [...new Set([...Object.keys(first.content), ...Object.keys(content)])]
      .filter((table) => !Bun.deepEquals(first.content[table], content[table]))
      .map(
        (table) =>
          `${name} and ${first.name} differ in ${table}${example(first.content[table], content[table])}`,
      ),
  );
}

function example(one: readonly string[] = [], other: readonly string[] = []): string {
  const [of, among] = [new Set(one), new Set(other)];
  const row = one.find((each) => !among.has(each)) ?? other.find((each) => !of.has(each));
  return row === undefined ? "" : `: ${row.slice(0, EXAMPLE_CHARACTERS)}`;
}

/** The rows of every table that all instances have in common, sorted. */
function contentOf({ service, file }: Copy): Record<string, readonly string[]> {
  const isActive = activeActiveServices.some((name) => name === service);
  const own = isActive ? OWN_OF_ACTIVE : OWN_OF_REPLICATED;
  using database = new Database(file, { readonly: true });
  const tables = database
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .filter(({ name }) => !own.includes(name));
  return Object.fromEntries(
    tables.map(({ name }) => {
      const sql = (isActive ? FROM_TOPICS[name] : undefined) ?? `SELECT * FROM "${name}"`;
      const rows = database.query<Record<string, unknown>, []>(sql).all();
      const isIdle = (row: Record<string, unknown>) => name === "sqlite_sequence" && row.seq === 0;
      return [
        name,
        rows
          .filter((row) => !isIdle(row))
          .map((row) => JSON.stringify(row))
          .toSorted(),
      ];
    }),
  );
}
