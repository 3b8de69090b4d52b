import { parseOptions, UsageError, wholeNumber } from "../command/command.ts";
import { OtherBroker } from "./other-broker.ts";
import type { Lengths } from "./scenarios.ts";
import { MIN_WAITING } from "./waiting-orders.ts";

/** Those that compare the store with the floor, and those that measure a part of the store alone. */
export const scenarioNames = [
  "idle",
  "latency",
  "rate",
  "catch-up",
  "growth",
  "tracing",
  "replication",
  "takeover",
  "broker",
  "commits",
  "waiting-orders",
  "watermill",
  "retention",
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface BenchOptions {
  readonly scenarios: ReadonlySet<ScenarioName>;
  readonly rounds: number;
  /** The one to measure with, in place of embedded brokers. */
  readonly broker: OtherBroker | undefined;
  readonly lengths: Lengths;
  /** Orders that a store has had before it is measured. */
  readonly history: readonly number[];
  /** A folder. */
  readonly histories: string | undefined;
  /** Records that a broker has when it starts. */
  readonly records: number;
  /** Orders that wait for stock. */
  readonly waiting: number;
  /** Leaders that are killed, and that are stopped. */
  readonly takeovers: number;
  /** Orders that pass through a store with retention. */
  readonly retained: number;
  /** A file. */
  readonly json: string | undefined;
  /** A folder. */
  readonly save: string | undefined;
}

/** The fewest orders from which a highest rate is read. */
export const MIN_ORDERS = 5_000;

export const USAGE = `usage: bun run bench [SCENARIO…] [options]

Measures the store beside its floor: the same path of an order with the same libraries and nothing else. Both run in turn
on this machine, on an embedded broker and data of their own, and are loaded by a process of its own through their public
interfaces. Compare the ratios; figures of different machines, or of different times on a shared machine, cannot be
compared.
Fails unless every order was confirmed and its customer notified, once.

  idle             CPU and memory without orders; the most memory after the other scenarios
  latency          at steady rates, from when an order is due until 202, its confirmation, its notification; and until 202
                   while the order service is down, so that the gateway has nothing else to do
  rate             the highest rate, with a bounded number of orders under way
  catch-up         the rate at which orders end that were placed while the order service was down, while new ones arrive,
                   beside the highest rate, which it measures, too
  growth           start-up, latency, highest rate, memory and disk of a store that has had 100,000 and 1,000,000 orders,
                   beside one that has had none; no floor. It first places these orders, about a thousand a second
  tracing          the highest rate with one of a hundred traces recorded and sent, beside none; no floor
  replication      latency, highest rate and change logs of a store with two instances of order and inventory, beside one
                   without replication; no floor
  takeover         how long nobody answers for a service of two instances after its leader was killed, and after it was
                   stopped
  broker           the embedded broker, which syncs before it answers, beside an Apache Kafka that does so, too, and one
                   with its defaults, which does not; and how long the embedded one takes to start. Without Java or Maven,
                   Apache Kafka is left out. KAFKA_BROKERS does not matter. bun run bench-broker is the same
  commits          units of work a second that the kit commits, many together beside one at a time
  waiting-orders   how long the inventory takes while 10,000 orders wait, and to free them all; no floor
  watermill        latency at 50 orders a second, and the highest rate, beside the same path of an order with Watermill and
                   PostgreSQL; left out where Go, PostgreSQL or setpriv is missing
  retention        disk and rate of a store that deletes what is old, while 1,000,000 orders pass through it; no floor

Without a scenario: all, which takes an hour or two.

With KAFKA_BROKERS, that broker is used in place of embedded ones. It must not have the store's topics: store and floor
create them, and delete them at their end.

  --rounds N       store and floor, or whatever is compared, so many times, alternating (3)
  --orders N       measured orders of the highest rate (10000; at least ${MIN_ORDERS})
  --at-once N      orders under way at the highest rate (1000)
  --rates LIST     orders a second for latency (50,200,500,1000)
  --seconds N      of each rate, of each load of a broker, and of idling (10)
  --outage N       orders that are placed while the order service is down (10000)
  --arriving N     new orders a second while those are caught up with, and for the latency in growth (100)
  --history LIST   orders of history (100000,1000000)
  --histories DIR  keep the histories there, and use those that are there; delete them yourself
                   after a change of the store
  --records N      records of 100 bytes that are stored when the embedded broker starts (5000000); 0 leaves this out
  --waiting N      orders that wait (10000; at least ${MIN_WAITING})
  --takeovers N    leaders that are killed, and that are stopped (100)
  --retained N     orders that pass through a store with retention (1000000; at least ${MIN_ORDERS})
  --delete-topics  of the broker that KAFKA_BROKERS names, if it has those of a store before
  --json FILE      write every measured value
  --save FOLDER    add every measured value to performance.json there, in place of earlier runs without another scenario,
                   and write all runs as tables (performance.md, between its marks) and as a chart (performance.svg)`;

/** @throws UsageError that names what is wrong */
export function readOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): BenchOptions {
  const { values, positionals } = parseOptions(
    args,
    {
      rounds: { type: "string" },
      orders: { type: "string" },
      "at-once": { type: "string" },
      rates: { type: "string" },
      seconds: { type: "string" },
      outage: { type: "string" },
      arriving: { type: "string" },
      history: { type: "string" },
      histories: { type: "string" },
      records: { type: "string" },
      waiting: { type: "string" },
      retained: { type: "string" },
      takeovers: { type: "string" },
      "delete-topics": { type: "boolean", default: false },
      json: { type: "string" },
      save: { type: "string" },
    },
    Number.POSITIVE_INFINITY,
  );
  const named = positionals.map((name) => {
    const scenario = scenarioNames.find((known) => known === name);
    if (scenario === undefined) {
      throw new UsageError(`there is no scenario ${name}; the scenarios are ${scenarioNames.join(", ")}`);
    }
    return scenario;
  });
  return {
    scenarios: new Set(scenarioNames.filter((name) => named.length === 0 || named.includes(name))),
    rounds: wholeNumber("--rounds", values.rounds ?? "3", 1),
    lengths: {
      orders: wholeNumber("--orders", values.orders ?? "10000", MIN_ORDERS),
      atOnce: wholeNumber("--at-once", values["at-once"] ?? "1000", 1),
      rates: list("--rates", values.rates ?? "50,200,500,1000"),
      seconds: wholeNumber("--seconds", values.seconds ?? "10", 1),
      outage: wholeNumber("--outage", values.outage ?? "10000", 1),
      arriving: wholeNumber("--arriving", values.arriving ?? "100", 1),
    },
    broker: OtherBroker.of(env, values["delete-topics"]),
    history: list("--history", values.history ?? "100000,1000000"),
    histories: values.histories,
    records: wholeNumber("--records", values.records ?? "5000000", 0),
    waiting: wholeNumber("--waiting", values.waiting ?? "10000", MIN_WAITING),
    takeovers: wholeNumber("--takeovers", values.takeovers ?? "100", 1),
    retained: wholeNumber("--retained", values.retained ?? "1000000", MIN_ORDERS),
    json: values.json,
    save: values.save,
  };
}

function list(option: string, text: string): number[] {
  return text.split(",").map((item) => wholeNumber(option, item, 1));
}
