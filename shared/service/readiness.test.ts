import { afterEach, describe, expect, test } from "bun:test";
import {
  closed,
  deadLetterTopic,
  define,
  Messaging,
  migrate,
  on,
  openDatabase,
  ownerTopic,
  PublishError,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
  type Topic,
  type Transport,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { runChecks } from "./http/health.ts";
import { drainCheck, readinessChecks } from "./readiness.ts";
import { addReadinessMetric, createMetrics } from "./telemetry/metrics.ts";

const letters: Topic = { name: "letters", key: "name", partitions: 1, config: {} };
const Letter = define({
  type: "test.letter.v1",
  kind: "event",
  source: "reader",
  topic: letters,
  key: "name",
  data: Type.Object({ name: Type.String() }, closed),
});
const migrations = [{ name: "letters", sql: "CREATE TABLE letters (name TEXT)" }];

let database: ServiceDatabase;
let messaging: Messaging;
afterEach(async () => {
  await messaging.stop();
  database.close();
});

interface Given {
  readonly brokerRequired?: boolean;
  readonly gaps?: "stop" | "continue";
  readonly wrap?: (broker: MemoryBroker) => Transport;
  readonly topics?: readonly Topic[];
  readonly ownership?: boolean;
  readonly isOneOfSeveral?: boolean;
  readonly reachesBroker?: boolean;
}

/** A service that reads and writes letters. @returns its broker, and what GET /readiness says */
function start({
  brokerRequired = true,
  gaps = "stop",
  wrap = (broker) => broker,
  topics,
  ownership = false,
  isOneOfSeveral = false,
  reachesBroker = false,
}: Given = {}) {
  database = openDatabase(":memory:");
  migrate(database, "reader", migrations);
  const broker = new MemoryBroker(topics ?? [letters, deadLetterTopic("reader")], systemRuntime);
  messaging = new Messaging({
    ...{ service: "reader", database, transport: wrap(broker), definitions: [Letter] },
    ...{ handlers: [on(Letter, () => {})], ownership },
    ...{ deadLetterTopic: "reader.dead-letters", runtime: systemRuntime, log: silentLogger, gaps },
  });
  messaging.start();
  const checked = { name: "reader", database, migrations, messaging, brokerRequired, gaps };
  const checks = readinessChecks({ ...checked, isOneOfSeveral, reachesBroker: () => reachesBroker });
  const asked = async () => {
    const checked = await runChecks(checks);
    return {
      ready: checked.every(({ required, found }) => !required || found.length === 0),
      down: checked.filter(({ found }) => found.length > 0).map(({ name }) => name),
      problems: checked.flatMap(({ found }) => found),
    };
  };
  const metric = async () => {
    const metrics = createMetrics("reader");
    addReadinessMetric(metrics, checks);
    return metrics.registry.getSingleMetricAsString("readiness_check");
  };
  return { broker, asked, metric };
}

const send = (name: string) =>
  messaging.unitOfWork.run((transaction) => void transaction.emit(Letter, { name }));
const until = (asked: ReturnType<typeof start>["asked"], down: string[]) =>
  eventually(async () => Bun.deepEquals((await asked()).down, down), `${down} to be down`);

/** Handles letters, so that partition 0 has a position. */
async function handled(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await send("a");
  await eventually(() => messaging.consumer.counts.handled === count, "the letters to be handled");
}

test("a service without a problem is ready, and each check is a series of the metric", async () => {
  const { asked, metric } = start();
  await until(asked, []);
  expect(await asked()).toEqual({ ready: true, down: [], problems: [] });
  const series = [...(await metric()).matchAll(/^readiness_check\{check="([^"]+)".*\} (\d)$/gm)];
  expect(series.map(([, check, value]) => `${check} ${value}`)).toEqual([
    ...["database 1", "storage 1", "ownership 1", "broker 1", "partitions 1", "gaps 1", "topics 1"],
    ...["rights 1", "outbox 1", "database-age 1", "schema 1"],
  ]);
});

test("one of several instances with a new database is not ready before it has read the topics to their ends", async () => {
  let isAway = true;
  const { asked } = start({
    brokerRequired: false,
    isOneOfSeveral: true,
    // Nothing is delivered while it is away.
    wrap: (broker) => ({
      publish: (records) => broker.publish(records),
      subscribe: (options) =>
        broker.subscribe({
          ...options,
          handle: async (batch) => {
            while (isAway) await Bun.sleep(1);
            return options.handle(batch);
          },
          caughtUp: (topic, partition) => {
            if (!isAway) options.caughtUp?.(topic, partition);
          },
        }),
    }),
  });
  await send("a");
  await until(asked, ["catching-up"]);
  expect((await asked()).ready).toBe(false);
  isAway = false;
  await send("b");
  await until(asked, []);
});

test("a consumer that joins its group is a problem, but where the broker is known to answer; one that fails is", async () => {
  /** Delivers nothing, as while the group is rebalanced. */
  const joining = (failure: string | undefined) => (broker: MemoryBroker) => ({
    publish: (records: Parameters<Transport["publish"]>[0]) => broker.publish(records),
    subscribe: () => ({ healthy: () => false, failure: () => failure, stop: async () => {} }),
  });
  for (const [reachesBroker, failure, down] of [
    [false, undefined, ["broker"]],
    [true, undefined, []],
    [true, "not authorized", ["broker", "rights"]],
  ] as const) {
    const { asked } = start({ reachesBroker, wrap: joining(failure) });
    expect((await asked()).down).toEqual([...down]);
    await messaging.stop();
    database.close();
  }
  start();
});

test("a process that was told to stop is not ready", async () => {
  start();
  const { check, begin } = drainCheck();
  expect(await runChecks([check])).toMatchObject([{ name: "stopping", required: true, found: [] }]);
  begin();
  const [{ found } = { found: [] }] = await runChecks([check]);
  expect(found).toHaveLength(1);
});

describe("a process that is not the service", () => {
  const owner = { kind: "claim", file: "another", epoch: 7, instance: "other", place: "elsewhere", age: 5 };
  const topics = [letters, deadLetterTopic("reader"), ownerTopic("reader")];
  /** Claims the service for another process, on the same file or not. */
  const claim = (broker: MemoryBroker, differently: object) => {
    const value = JSON.stringify({ ...owner, since: 0, released: false, ...differently });
    return broker.publish([{ topic: "reader.owner", key: "claim", value, headers: {} }]);
  };

  test("on another database, says which one is, and what to do", async () => {
    let taken: Promise<void> | undefined;
    const { asked } = start({
      topics,
      ownership: true,
      wrap: (broker) => {
        taken = claim(broker, {});
        return broker;
      },
    });
    await taken;
    await until(asked, ["ownership"]);
    const { ready, problems } = await asked();
    expect(ready).toBe(false);
    expect(problems[0]?.detail).toBe(
      "Its database is not the one of the service. It does nothing. The owner of reader has epoch 7, since 1970-01-01T00:00:00.000Z.",
    );
    expect(problems[0]?.remedy).toContain("bun run owner take-over");
  });

  test("because another one has taken it over, says so; one that is the service says nothing", async () => {
    const { broker, asked } = start({ topics, ownership: true });
    await until(asked, []);
    const file = String(database.sql.query("SELECT file FROM ownership").values());
    await claim(broker, { file });
    await until(asked, ["ownership"]);
    expect((await asked()).problems[0]?.detail).toStartWith(
      "Another process has taken the service over from this one.",
    );
  });
});

describe("the storage", () => {
  /** As SQLite reports it, at whatever reaches the disk. */
  const failWith = (code: string, message: string) => {
    const run = database.sql.run.bind(database.sql);
    database.sql.run = (statement: string, ...rest: never[]) => {
      if (statement === "COMMIT") throw Object.assign(new Error(message), { code });
      return run(statement, ...rest);
    };
    return () => {
      database.sql.run = run;
    };
  };

  test("a commit that fails makes the service not ready, a write that works makes it ready again", async () => {
    const { asked, metric } = start();
    await until(asked, []);
    const mend = failWith("SQLITE_FULL", "database or disk is full");
    await expect(send("a")).rejects.toThrow("full");
    expect(await asked()).toEqual({
      ready: false,
      down: ["storage"],
      problems: [
        {
          detail:
            "Nothing can be stored: the disk is full. Requests that change something are refused, reads go on.",
          remedy:
            "Free space on the disk of the data directory, or enlarge it. The service goes on by itself.",
        },
      ],
    });
    expect(await metric()).toContain('readiness_check{check="storage",app="reader"} 0');
    mend();
    await until(asked, []);
    expect((await asked()).ready).toBe(true);
  });

  test("a read-only disk is found by a write that is tried when nothing else writes", async () => {
    const { asked } = start();
    failWith("SQLITE_READONLY", "attempt to write a readonly database");
    expect(await asked()).toMatchObject({
      ready: false,
      problems: expect.arrayContaining([
        {
          detail: expect.stringContaining("attempt to write a readonly database"),
          remedy: expect.stringMatching(/^Make the disk of the data directory writable/),
        },
      ]),
    });
  });
});

test("a database that cannot be read makes the service not ready", async () => {
  const { asked } = start();
  await until(asked, []);
  database.sql.run("ALTER TABLE migrations RENAME TO gone");
  expect(await asked()).toMatchObject({ ready: false, down: expect.arrayContaining(["database"]) });
  database.sql.run("ALTER TABLE gone RENAME TO migrations");
});

test.each([
  [true, false],
  [false, true],
])(
  "a stopped partition, where the broker is required: %p, leaves the service ready: %p",
  async (brokerRequired, ready) => {
    const { broker, asked } = start({ brokerRequired });
    await handled(1);
    broker.partition("letters", 0).appendUndecodable(Buffer.from([0xff]), 3, "unknown codec");
    await send("a");
    await until(asked, ["partitions"]);
    expect(await asked()).toMatchObject({
      ready,
      problems: [
        {
          detail:
            "letters/0 is stopped at offset 1 (undecodable-batch): records 1 to 3 cannot be decoded: unknown codec.",
          remedy: "Decide how it goes on: `bun run partitions`, service reader.",
        },
      ],
    });
    const decided = { topic: "letters", partition: 0 };
    await messaging.partitionStops.decide(decided, "skip", "seen", "ann");
    await until(asked, []);
  },
);

describe("records that retention removed before they were read", () => {
  const lose = async (given: Given) => {
    const holds = { now: false };
    const held = Promise.withResolvers<void>();
    const started = start({
      ...given,
      wrap: (broker) => ({
        hasTopic: (name) => broker.hasTopic(name),
        publish: (records) => broker.publish(records),
        subscribe: (options) =>
          broker.subscribe({
            ...options,
            handle: async (batch) => {
              if (!holds.now) return options.handle(batch);
              await held.promise;
              return { next: batch.records[0]?.offset ?? 0 };
            },
          }),
      }),
    });
    await handled(1);
    holds.now = true;
    await send("a");
    await send("a");
    await eventually(() => started.broker.partition("letters", 0).end === 3, "them to be stored");
    started.broker.partition("letters", 0).trim(3);
    holds.now = false;
    held.resolve();
    await send("a");
    return started;
  };

  test("stop the partition, and the service is not ready", async () => {
    const { asked } = await lose({});
    await until(asked, ["gaps"]);
    expect(await asked()).toMatchObject({
      ready: false,
      problems: [
        { detail: expect.stringContaining("is stopped at offset 1 (gap): retention removed 2 records") },
      ],
    });
  });

  test("are shown for a day where GAPS=continue, and the service is ready", async () => {
    const { asked } = await lose({ gaps: "continue" });
    await until(asked, ["gaps"]);
    expect(await asked()).toMatchObject({
      ready: true,
      problems: [{ detail: expect.stringContaining("letters/0: retention removed 2 records") }],
    });
    database.sql.run("UPDATE partition_actions SET at = at - 90000000");
    expect((await asked()).down).toEqual([]);
  });
});

test("what the broker refuses is shown, and concerns no other message", async () => {
  const { asked } = start({
    topics: [deadLetterTopic("reader")],
    wrap: (broker) => ({
      hasTopic: () => true,
      publish: (records) => broker.publish(records),
      subscribe: (options) => broker.subscribe(options),
    }),
  });
  await send("a");
  await until(asked, ["outbox"]);
  const detail =
    "The broker does not take letters, its messages wait in the outbox: there is no topic letters.";
  expect(await asked()).toMatchObject({ ready: true, problems: [{ detail }] });
});

test("outgoing messages that are parked are shown", async () => {
  const { asked } = start({
    wrap: (broker) => ({
      hasTopic: (name) => broker.hasTopic(name),
      publish: async ([record]) => {
        const failure = { scope: "record", error: "the record is too large" } as const;
        if (record !== undefined) throw new PublishError(new Map([[record, failure]]));
      },
      subscribe: (options) => broker.subscribe(options),
    }),
  });
  await send("a");
  await until(asked, ["outbox"]);
  expect(await asked()).toMatchObject({
    ready: true,
    problems: [
      {
        detail: expect.stringMatching(/^Outgoing messages are parked, 1 of them: /),
        remedy: "Release or discard them: `bun run outbox`, service reader.",
      },
    ],
  });
});

describe("a broker", () => {
  /** One that can neither be sent to nor read, for this reason. */
  const failing = (reason: string) => ({
    wrap: (broker: MemoryBroker): Transport => ({
      hasTopic: (name) => broker.hasTopic(name),
      publish: async () => {
        throw new Error(reason);
      },
      subscribe: () => ({ healthy: () => false, failure: () => reason, stop: async () => {} }),
    }),
  });

  test("that is away makes a service not ready that needs it, and not the gateway", async () => {
    const reason = "the broker at 10.1.2.3:9092: Connection error: connect ECONNREFUSED 10.1.2.3:9092";
    const { asked } = start(failing(reason));
    await send("a");
    await until(asked, ["broker"]);
    const found = await asked();
    expect(found).toMatchObject({
      ready: false,
      problems: [{ detail: expect.stringContaining("no broker listens at the address") }],
    });
    expect(JSON.stringify(found)).not.toContain("10.1.2.3");
    await messaging.stop();
    database.close();
    const gateway = start({ ...failing(reason), brokerRequired: false });
    await until(gateway.asked, ["broker"]);
    expect((await gateway.asked()).ready).toBe(true);
  });

  test("that refuses a right is told from one that is away", async () => {
    const { asked } = start(failing("Not authorized to access group: Group authorization failed"));
    await until(asked, ["broker", "rights"]);
    expect((await asked()).problems.at(-1)).toEqual({
      detail: "The broker refuses reader: Not authorized to access group: Group authorization failed.",
      remedy: "Grant reader the rights that `bun run access` lists, or correct its credentials.",
    });
  });
});

test("a database that a newer version has added to is shown", async () => {
  const { asked } = start();
  await until(asked, []);
  database.sql.run(
    "INSERT INTO migrations (scope, step, name, checksum) VALUES ('reader', 2, 'stamps', 'x')",
  );
  expect(await asked()).toMatchObject({
    ready: true,
    down: ["schema"],
    problems: [{ detail: "A newer version has added to the database: stamps." }],
  });
});
