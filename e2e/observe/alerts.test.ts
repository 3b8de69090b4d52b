import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { allTopics } from "@distributed-messaging/contracts/topics";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { OwnStore } from "../support/own-store.ts";
import { canMount, fillDisk, mountSmallDisk, unmount } from "../support/small-disk.ts";
import { untilIdle } from "../support/state.ts";
import { isRunningElsewhere } from "../support/store.ts";
import { alertNames, Monitoring } from "./prometheus.ts";

const prometheus = process.env.PROMETHEUS_PATH || Bun.which("prometheus");
const alertmanager = process.env.ALERTMANAGER_PATH || Bun.which("prometheus-alertmanager");
const isSlow = process.env.SLOW_TESTS === "true" && !isRunningElsewhere;
if (isSlow && (prometheus === null || alertmanager === null))
  console.warn("skipped the alerts on a real Prometheus: it, or Alertmanager, is not installed");
const describeReal = isSlow && prometheus !== null && alertmanager !== null ? describe : describe.skip;

const LIMIT_MS = 600_000;
const START_LIMIT_MS = 120_000;
const DISK_MB = 64;
const MOST_ORDERS = 5_000;
/** More than a topic has partitions. */
const ORDERS = 24;

const anOrder = { items: [{ productId: "PRODUCT_006", quantity: 1 }] };

/** A monitored store. Its `describe` has its own, so that one fault does not fire the alerts of another. */
function useMonitored(store: OwnStore, monitoring: Monitoring, targets: () => readonly string[] = () => []) {
  beforeAll(async () => {
    await store.startAll();
    await store.seed();
    const services = serviceNames.map((name) => new URL(store.url(name)).host);
    monitoring.start(prometheus ?? "", alertmanager ?? "", [...services, ...targets()]);
  }, START_LIMIT_MS);
}

const cleared = new Set<string>();

describeReal("each alert is fired by its fault and cleared by its remedy", () => {
  const store = new OwnStore();
  const monitoring = new Monitoring();
  /** What no fault of a process here brings about: a broker with access control, and effects, which no service has. */
  const standIn = { text: "" };
  let server: ReturnType<typeof Bun.serve> | undefined;
  useMonitored(store, monitoring, () => {
    server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(standIn.text) });
    return [`127.0.0.1:${server.port}`];
  });
  afterAll(async () => {
    await monitoring.stop();
    await server?.stop(true);
    await store.dispose();
    for (const name of monitoring.cleared) cleared.add(name);
  }, START_LIMIT_MS);

  const customer = () => store.signIn("CUSTOMER_alerts");
  /** As an operator. */
  const operate = async (name: ServiceName, path: string, body?: object, method = "POST") => {
    const { authorization } = await store.signIn("OPERATOR", "admin");
    const headers = { ...authorization, "content-type": "application/json" };
    const answer = await store.request(name, path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${Bun.inspect(answer.body)}`);
    return answer.body;
  };
  const restart = async (name: ServiceName) => {
    await store.process(name).stop();
    await store.process(name).start();
  };
  const change = (name: ServiceName, sql: string) => {
    using database = new Database(join(store.dataDir, `${name}.sqlite`));
    database.run("PRAGMA busy_timeout = 20000");
    database.run(sql);
  };

  test(
    "a service that is stopped, until it is started; the Alertmanager is told",
    async () => {
      const { host } = new URL(store.url("notification"));
      await store.process("notification").stop();
      await monitoring.fires("ServiceDown", host);
      await monitoring.isReceived("ServiceDown");
      await store.process("notification").start();
      await monitoring.clears("ServiceDown", host);
    },
    LIMIT_MS,
  );

  test(
    "a broker that is stopped, until it is started",
    async () => {
      const ann = await customer();
      await ann.until((await ann.place(anOrder)).orderId, "confirmed");
      await store.process("broker").stop();
      const waiting = await ann.place(anOrder);
      await monitoring.fires("BrokerUnreachable", "order");
      await monitoring.fires("ServiceNotReady", "order");
      await monitoring.fires("OutboxDelayed", "api-gateway");
      await store.process("broker").start();
      await ann.until(waiting.orderId, "confirmed");
      await monitoring.fires("OrdersSlow");
      for (const alert of ["BrokerUnreachable", "ServiceNotReady"]) await monitoring.clears(alert, "order");
      await monitoring.clears("OutboxDelayed", "api-gateway");
      await monitoring.clears("OrdersSlow");
    },
    LIMIT_MS,
  );

  test(
    "a handler that fails, until it is corrected, and the dead letters that it left are replayed",
    async () => {
      const ann = await customer();
      change(
        "notification",
        "CREATE TRIGGER broken BEFORE INSERT ON notifications BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      // Several of a partition: each is tried for the better part of a minute before the next.
      for (let order = 0; order < ORDERS; order++) await ann.place(anOrder);
      await monitoring.fires("HandlerFailing", "notification");
      await monitoring.fires("ConsumerLagging", "notification");
      await monitoring.fires("DeadLetters", "notification");
      change("notification", "DROP TRIGGER broken");
      await monitoring.clears("HandlerFailing", "notification");
      await monitoring.clears("ConsumerLagging", "notification");
      const deadLetters = () =>
        store.rows<{ id: number }>("notification", "SELECT id FROM dead_letters ORDER BY id");
      await eventually(async () => {
        const ids = deadLetters().map(({ id }) => id);
        if (ids.length > 0) await operate("notification", "/dead-letters/replay", { ids });
        return ids.length === 0;
      }, "the dead letters to be handled");
      await monitoring.clears("DeadLetters", "notification");
    },
    LIMIT_MS,
  );

  test(
    "a topic that takes no message, until it is configured as it was",
    async () => {
      const TOPIC = "order.commands";
      const ann = await customer();
      const real = allTopics.find(({ name }) => name === TOPIC)?.config ?? {};
      await store.records.configure(TOPIC, { ...real, "max.message.bytes": "100" });
      const { orderId } = await ann.place(anOrder);
      await monitoring.fires("OutboxParked", "api-gateway");
      // The topics are looked at at the start, and every ten minutes.
      await restart("order");
      await monitoring.fires("TopicMisconfigured", "order");
      await store.records.configure(TOPIC, real);
      await operate("api-gateway", "/outbox/parked/retry", { topic: TOPIC });
      await ann.until(orderId, "confirmed");
      await restart("order");
      await monitoring.clears("OutboxParked", "api-gateway");
      await monitoring.clears("TopicMisconfigured", "order");
    },
    LIMIT_MS,
  );

  test(
    "timers that fire late, until the service is started again, and those that fail, until their orders are cancelled",
    async () => {
      const ann = await customer();
      // Nobody has so many.
      const much = { items: [{ productId: "PRODUCT_012", quantity: 1 }] };
      const late = (await ann.place(much)).orderId;
      await ann.until(late, "backordered");
      // As when the clock was set: a sleep does not notice.
      const expire = () => {
        const past = Date.now() - 60_000;
        change("order", `UPDATE orders SET expires_at = ${past} WHERE status = 'backordered'`);
        change("order", `UPDATE timers SET due_at = ${past}`);
      };
      expire();
      await monitoring.fires("TimersLate", "order");
      await restart("order");
      await ann.until(late, "cancelled");
      await monitoring.clears("TimersLate", "order");

      const failed = (await ann.place(much)).orderId;
      await ann.until(failed, "backordered");
      expire();
      change(
        "order",
        "CREATE TRIGGER broken BEFORE UPDATE ON orders BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      await restart("order");
      await monitoring.fires("TimersFailed", "order");
      change("order", "DROP TRIGGER broken");
      await ann.cancel(failed);
      await ann.until(failed, "cancelled");
      await monitoring.clears("TimersFailed", "order");
    },
    LIMIT_MS,
  );

  test(
    "a newer version on the database, until it is there again",
    async () => {
      change(
        "order",
        "INSERT INTO migrations (scope, step, name, checksum, additive) VALUES ('order', 99, 'newer', '', 1)",
      );
      await monitoring.fires("SchemaNewer", "order");
      change("order", "DELETE FROM migrations WHERE step = 99");
      await monitoring.clears("SchemaNewer", "order");
    },
    LIMIT_MS,
  );

  test(
    "a write-ahead log that grows, until what holds it up is closed and the service is started again",
    async () => {
      const path = join(store.dataDir, "notification.sqlite");
      const reader = new Database(path);
      try {
        reader.run("BEGIN");
        reader.query("SELECT count(*) FROM migrations").get();
        change("notification", "CREATE TABLE much (bytes BLOB)");
        for (let written = 0; written < 20; written++) {
          change("notification", `INSERT INTO much VALUES (zeroblob(${16 * 1024 * 1024}))`);
        }
        change("notification", "DROP TABLE much");
        await monitoring.fires("WalLarge", "notification");
      } finally {
        reader.close();
      }
      await restart("notification");
      await monitoring.clears("WalLarge", "notification");
    },
    LIMIT_MS,
  );

  test(
    "a process that is held up, until it is not",
    async () => {
      let isHeldUp = true;
      const holdUp = (async () => {
        const pid = store.process("notification").pid ?? 0;
        while (isHeldUp) {
          process.kill(pid, "SIGSTOP");
          await Bun.sleep(1_500);
          process.kill(pid, "SIGCONT");
          await Bun.sleep(100);
        }
      })();
      try {
        await monitoring.fires("EventLoopBlocked", "notification");
      } finally {
        isHeldUp = false;
        await holdUp;
      }
      await monitoring.clears("EventLoopBlocked", "notification");
    },
    LIMIT_MS,
  );

  test(
    "a database that is older, until the later one is put back",
    async () => {
      const ann = await customer();
      const path = join(store.dataDir, "notification.sqlite");
      const move = (to: string, from: string) => {
        for (const suffix of ["", "-wal", "-shm"]) {
          rmSync(`${to}${suffix}`, { force: true });
          if (existsSync(`${from}${suffix}`)) copyFileSync(`${from}${suffix}`, `${to}${suffix}`);
        }
      };
      // As `bun run owner take-over` does.
      const takeOver = () => {
        using database = new Database(path);
        database.run("UPDATE ownership SET takes_over = 1");
      };
      await store.process("notification").stop();
      move(`${path}.older`, path);
      await store.process("notification").start();
      await ann.until((await ann.place(anOrder)).orderId, "confirmed");
      await untilIdle(store);
      await store.process("notification").stop();
      move(`${path}.later`, path);
      move(path, `${path}.older`);
      takeOver();
      await store.process("notification").start();
      await monitoring.fires("DatabaseOlder", "notification");
      await store.process("notification").stop();
      move(path, `${path}.later`);
      takeOver();
      await store.process("notification").start();
      await monitoring.clears("DatabaseOlder", "notification");
    },
    LIMIT_MS,
  );

  test(
    "a partition whose unread records were removed, until an operator decides",
    async () => {
      const ann = await customer();
      // On every partition: of one that was never read, nothing is missed.
      for (let order = 0; order < ORDERS; order++) await ann.place(anOrder);
      await untilIdle(store);
      await store.process("notification").stop();
      await ann.until((await ann.place(anOrder)).orderId, "confirmed");
      await store.records.removeAll("order.events");
      // It is not ready, which is what the supervisor waits for.
      store
        .process("notification")
        .start()
        .catch(() => undefined);
      await monitoring.fires("PartitionStopped", "notification");
      await monitoring.fires("RecordsLost", "notification");
      const stops = () =>
        store.rows<{ topic: string; partition: number }>(
          "notification",
          "SELECT topic, partition FROM partition_stops",
        );
      await eventually(async () => {
        for (const { topic, partition } of stops()) {
          const decision = { action: "skip", reason: "lost" };
          await operate("notification", `/partitions/${topic}/${partition}/decisions`, decision);
        }
        return stops().length === 0;
      }, "no partition to be stopped");
      await monitoring.clears("PartitionStopped", "notification");
      await monitoring.clears("RecordsLost", "notification");
    },
    LIMIT_MS,
  );

  test.each([
    [
      "OutboxTopicRefused",
      'outbox_refused_topics{app="stand-in"} 1',
      'outbox_refused_topics{app="stand-in"} 0',
    ],
    [
      "SnapshotsOld",
      [
        'replication_groups{app="stand-in"} 31',
        'replication_snapshot_groups{app="stand-in"} 0',
        'replication_snapshot_every_groups{app="stand-in"} 10',
      ].join("\n"),
      [
        'replication_groups{app="stand-in"} 41',
        'replication_snapshot_groups{app="stand-in"} 31',
        'replication_snapshot_every_groups{app="stand-in"} 10',
      ].join("\n"),
    ],
    ["EffectsDead", 'effects_dead{app="stand-in"} 1', 'effects_dead{app="stand-in"} 0'],
    [
      "BrokerRightMissing",
      'readiness_check{app="stand-in",check="rights"} 0',
      'readiness_check{app="stand-in",check="rights"} 1',
    ],
  ])(
    "%s, at a service of the test's own that says so",
    async (alert, fault, remedy) => {
      standIn.text = `${fault}\n`;
      await monitoring.fires(alert, "stand-in");
      standIn.text = `${remedy}\n`;
      await monitoring.clears(alert, "stand-in");
    },
    LIMIT_MS,
  );
});

const describeDisk = isSlow && canMount() ? describeReal : describe.skip;

describeDisk("a full disk", () => {
  const store = new OwnStore();
  const monitoring = new Monitoring();
  beforeAll(() => mountSmallDisk(store.dataDir, DISK_MB));
  useMonitored(store, monitoring);
  afterAll(async () => {
    try {
      await monitoring.stop();
      await store.supervisor.stopAll();
    } finally {
      unmount(store.dataDir);
      await store.dispose();
    }
    for (const name of monitoring.cleared) cleared.add(name);
  }, START_LIMIT_MS);

  test(
    "fires the alerts of the disk and of the requests that it refuses, until there is space",
    async () => {
      const ann = await store.signIn("CUSTOMER_disk");
      await ann.until((await ann.place(anOrder)).orderId, "confirmed");
      const filler = join(store.dataDir, "filler");
      fillDisk(filler, store.dataDir);
      await monitoring.fires("DiskSpaceLow", "api-gateway");
      let isFull = true;
      const ordering = (async () => {
        for (let order = 0; isFull && order < MOST_ORDERS; order++) {
          const { status } = await ann.tryToPlace(anOrder);
          if (status !== 202) await Bun.sleep(200);
        }
      })();
      try {
        await monitoring.fires("StorageFailing", "api-gateway");
        await monitoring.fires("HttpErrors", "api-gateway");
      } finally {
        isFull = false;
        await ordering;
        rmSync(filler, { force: true });
      }
      for (const alert of ["DiskSpaceLow", "StorageFailing", "HttpErrors"]) {
        await monitoring.clears(alert, "api-gateway");
      }
    },
    LIMIT_MS,
  );
});

// After the others: a hook of the last `describe` has added what it saw.
describeDisk("of all alerts", () => {
  test("each was fired and cleared", () => {
    expect([...cleared].sort()).toEqual(alertNames().sort());
  });
});
