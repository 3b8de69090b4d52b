import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { expectTest } from "./named-tests.ts";

/* The numbers of docs/messaging.md are compared with the code. e2e/packages runs its tutorial. */

const page = readFileSync(join(ROOT, "docs/messaging.md"), "utf8");

describe("bounds", () => {
  const UNITS: Readonly<Record<string, number>> = {
    KiB: 1024,
    MiB: 1024 ** 2,
    ms: 1,
    s: 1_000,
    days: 24 * 60 * 60 * 1_000,
  };
  const rows = [...page.matchAll(/^\| [^|]+ \| (\d+) ?(\w*) +\| `(\S+)` `(\w+)` +\|/gm)];

  test("are all of the table", () => {
    const table = /^### Bounds$.*?^(\| what .*?)\n\n/ms.exec(page)?.[1] ?? "";
    expect(rows.length).toBe(table.split("\n").length - 2);
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map(([, amount, unit, file, name]) => [file, name, amount, unit] as const))(
    "%s %s is %s %s",
    (file = "", name = "", amount = "", unit = "") => {
      const source = readFileSync(join(ROOT, "shared", file), "utf8");
      expect(valueIn(source, name)).toBe(Number(amount) * (UNITS[unit] ?? 1));
    },
  );
});

/** The number that a source gives a name: `NAME = 8 * 1024`, `name: 8 * 1024`, or its `default:`. */
function valueIn(source: string, name: string): number {
  const product = "[\\d_]+(?: \\* [\\d_A-Z]+)*";
  const text = new RegExp(`\\b${name}(?: =|:)(?: Type\\.[^]*?default:)? (${product})`).exec(source)?.[1];
  if (text === undefined) throw new Error(`${name} is not given a number`);
  const factors = text.split(" * ").map((factor) => {
    return /^[A-Z]/.test(factor) ? valueIn(source, factor) : Number(factor.replaceAll("_", ""));
  });
  return factors.reduce((result, factor) => result * factor, 1);
}

describe("what may happen on a real cluster", () => {
  const stops = "shared/messaging/inbox/partition-stops.test.ts";
  const relay = "shared/messaging/outbox/relay.test.ts";
  const horizon = "shared/messaging/inbox/horizon.test.ts";
  // These run on the embedded broker, and on Apache Kafka with `bun run test-apache-kafka`.
  const foreign = "shared/messaging/conformance/foreign.ts";
  const administration = "shared/messaging/conformance/administration.ts";
  const publishing = "shared/messaging/conformance/publishing.ts";
  const access = "e2e/access-control/apache-kafka.ts";

  /** By the beginning of each row, the tests that show what it says. */
  const shownBy: Readonly<Record<string, readonly (readonly [file: string, title: string])[]>> = {
    "records compressed with gzip": [
      [foreign, "%s is read"],
      [foreign, "a topic whose broker compresses with %s is read"],
    ],
    "a key or a header that is not UTF-8": [
      [
        foreign,
        "keys and headers that are not UTF-8, headers without a value and repeated ones are kept exactly",
      ],
      [
        "shared/messaging/inbox/consumer.test.ts",
        "what cannot be decoded is parked as it was read, and does not stop its partition",
      ],
    ],
    "a batch that cannot be decoded": [
      [
        foreign,
        "a batch that cannot be decoded is delivered as such, after what is before it; other partitions go on",
      ],
      [stops, "a batch that cannot be decoded stops its partition only, and says where and why"],
      [stops, "records before an undecodable batch are handled"],
      [stops, "a stop survives a restart; a skip records who, why and which bytes, and reading goes on"],
      [stops, "resume tries again where the partition is stopped"],
    ],
    "retention removed records before they were read": [
      [foreign, "every batch says where its log begins and ends"],
      [stops, "records that retention removed unread stop their partition until an operator acknowledges it"],
      [stops, "by policy, reading goes on after a gap, which is recorded once"],
      ["shared/service/admin/partitions.test.ts", "GAPS=$GAPS: after a gap, $stops partitions are stopped"],
    ],
    "the same, and nothing is left": [
      [
        foreign,
        "a log that retention emptied says where it begins: at the assignment, and while nothing is written to it",
      ],
      [stops, "a partition that retention emptied is found without a further record: at the assignment"],
      [stops, "and while it is assigned, by policy without a stop"],
    ],
    "records are missing on a compacted topic": [
      [stops, "a compacted topic has gaps as a rule"],
      [
        "shared/messaging/transport/kafka/fetch.test.ts",
        "a batch without records, as compaction leaves it, is passed over",
      ],
      [foreign, "of a transaction, the records are read if it was committed, and control records never"],
    ],
    "the log is another one": [
      [
        stops,
        "a log that lost its end and grew again while it is assigned is found, and read from its beginning",
      ],
      [
        "shared/messaging/inbox/consumer.test.ts",
        "a topic that was created again is read from its beginning, with a copy of the last record where that was",
      ],
      [
        horizon,
        "a log that is read anew stops at the first message that is too old to be known; nothing takes effect twice",
      ],
      [horizon, "messages that are too old to be known are handled again only if an operator says so"],
    ],
    "partitions are added to a topic": [
      [administration, "partitions that are added to a topic are read"],
      [
        administration,
        "a key stays in its partition when partitions are added that the topic's definition does not have",
      ],
    ],
    "the topic has fewer partitions": [
      [
        "e2e/conformance/kafka-topics.test.ts",
        "a topic with fewer partitions than its definition is not written, until it has them",
      ],
      [relay, "a topic that an operator has to decide about waits for as long as that takes"],
    ],
    "the definition's number of partitions changes": [
      [
        "shared/messaging/outbox/partition-counts.test.ts",
        "a topic that is defined with more partitions is not written before an operator accepts it",
      ],
      [
        "shared/messaging/outbox/partition-counts.test.ts",
        "with the former number of partitions the topic is written again",
      ],
    ],
    "`retention.ms`": [
      ["shared/messaging/transport/topic-check.test.ts", "%j"],
      ["shared/messaging/transport/topic-check.test.ts", "all findings are logged in one list, once"],
    ],
    "a record is larger than": [
      [
        publishing,
        "a record that is too large is reported with its batch, and those of other partitions are stored once",
      ],
      [relay, "a record is parked with the later ones of its key; the others are sent once, in order"],
      [relay, "how large a batch of a topic may be is remembered: the next ones are not refused"],
      ["scripts/outbox/outbox.test.ts", "lists, shows, retries and drops messages that the broker refuses"],
    ],
    "a topic to write does not exist": [
      [
        publishing,
        "a topic that does not exist is reported, and the records of other topics are stored once",
      ],
      [relay, "a topic that is missing waits while the others go on, then it is parked; a retry sends all"],
      [access, "$operation $resource $name"],
    ],
    "a key has 10000 dead letters": [
      [
        stops,
        "a key with as many dead letters as it may have stops its partition, once, until there is space",
      ],
      [
        "shared/messaging/dead-letters/dead-letters.test.ts",
        "one key cannot use up the space of all: its partition waits, the others go on",
      ],
      [
        "shared/messaging/inbox/consumer.test.ts",
        "with as many dead letters as may be, the records before the one that cannot be parked are handled",
      ],
    ],
    "a topic may not be described": [
      [
        "e2e/conformance/kafka-topics.test.ts",
        "a topic that may not be created does not keep other topics from being used",
      ],
      [
        "e2e/conformance/kafka-topics.test.ts",
        "with create: false no topic is created, and records of topics that exist are stored",
      ],
      [access, "takes an order to confirmed, with the rights that docs/operations.md lists and no others"],
    ],
  };
  const table = /^(\| what may happen on a real cluster .*?)\n\n/ms.exec(page)?.[1] ?? "";
  const rows = table
    .split("\n")
    .slice(2)
    .map((row) => row.slice(2));

  test("each row has its tests, and each of them a row", () => {
    const beginnings = Object.keys(shownBy);
    expect(rows.map((row) => beginnings.filter((beginning) => row.startsWith(beginning)).length)).toEqual(
      beginnings.map(() => 1),
    );
  });

  test.each(Object.entries(shownBy))("%s", (_, tests) => {
    expect(tests.length).toBeGreaterThan(0);
    for (const [file, title] of tests) expectTest(file, title);
  });
});
