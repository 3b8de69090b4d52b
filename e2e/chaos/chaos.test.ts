import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { activeActiveServices, replicableServices } from "@distributed-messaging/services/registry";
import { Prng } from "../simulation/prng.ts";
import { describeOwn, OwnStore } from "../support/own-store.ts";
import { runsSlowTests, slowTest } from "../support/slow-test.ts";
import { Disks } from "./disks.ts";
import { Faults, RECOVERY_LIMIT_MS } from "./faults.ts";
import { Load, PLACE_RATE } from "./load.ts";
import { verdict } from "./verdict.ts";

const LIMIT_MS = 600_000;
const RATE = 20;

describeOwn("chaos with two instances of each service", () => {
  const disks = new Disks();
  const prng = new Prng("chaos");
  let store: OwnStore;
  let faults: Faults;

  beforeAll(async () => {
    if (!runsSlowTests) return;
    store = new OwnStore({ replicas: 2, timings: { readyTimeoutMs: RECOVERY_LIMIT_MS } });
    faults = new Faults({ store, disks, prng: prng.fork("faults"), log: () => {}, replicas: 2 });
    await store.startAll();
    await store.seed();
  }, LIMIT_MS);
  afterAll(() => store?.dispose(), LIMIT_MS);

  /** Destroys a gateway while the broker is away. @returns the orders that it accepted meanwhile: the broker may have had the first */
  async function acceptWithoutBroker(load: Load): Promise<readonly string[]> {
    await store.process("broker").stop();
    const disk = disks.of("api-gateway");
    const there = () => [...load.accepted].filter(([, one]) => !one.isReplicated && one.disk === disk);
    const before = new Set(there().map(([orderId]) => orderId));
    const meanwhile = () => there().flatMap(([orderId]) => (before.has(orderId) ? [] : [orderId]));
    // Each place has one order on its way when the broker ends.
    const places = Math.ceil(RATE / PLACE_RATE);
    await eventually(() => meanwhile().length > places, "the gateway to accept orders without the broker");
    const destroyed = faults.inject("destroy", "api-gateway");
    await eventually(() => disk.isLost, "the disk to be lost");
    await store.process("broker").start();
    await destroyed;
    return meanwhile();
  }

  /** Changes the database of an instance, which is stopped meanwhile. */
  async function change(name: string, sql: string): Promise<void> {
    const process = store.process(name);
    await process.stop();
    const database = new Database(process.spec.file ?? "");
    expect(database.run(sql).changes).toBeGreaterThan(0);
    database.close();
    await process.start();
  }

  slowTest(
    "instances of every service are added, removed and destroyed under load, and only what one disk had is lost with it",
    async () => {
      const load = await Load.start(store, disks, prng.fork("load"), RATE);
      const untilAccepted = (count: number) => {
        const wanted = load.accepted.size + count;
        return eventually(() => load.accepted.size >= wanted, "further orders to be accepted");
      };
      await untilAccepted(RATE);
      await Promise.all(
        [...activeActiveServices, ...replicableServices].map(async (name) => {
          expect(await faults.inject("add", name)).toBe(`${name}-3`);
          await faults.inject("destroy and remove", name);
          await untilAccepted(RATE);
          await faults.inject("destroy", `${name}-2`);
          // With an empty database, too.
          expect(await faults.inject("add", `${name}-2`)).toBe(name);
          await faults.inject("stop and remove", `${name}-3`);
          await faults.inject("kill and remove", `${name}-2`);
          await untilAccepted(RATE);
        }),
      );
      await faults.bringBack();
      await untilAccepted(RATE);
      const meanwhile = await acceptWithoutBroker(load);
      await load.stop();
      const states = store.supervisor.report().map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(["ready"]));
      const { violations, lost } = await verdict(store, load);
      expect(violations).toEqual([]);
      expect(meanwhile.filter((orderId) => lost.includes(orderId))).not.toEqual([]);

      // The same finds what is wrong, once something is.
      const columns = 'customer_id, order_id, type, message, at, partition, "offset", generation';
      await change(
        "notification-2",
        `INSERT INTO notifications (notification_id, ${columns})
         SELECT 'again', ${columns} FROM notifications WHERE seq = 1`,
      );
      await change("api-gateway-3", "UPDATE order_steps SET at = at + 1 WHERE generation IS NOT NULL");
      load.accepted.set("NEVER", { isReplicated: true, disk: disks.of("api-gateway-2") });
      const wrong = (await verdict(store, load)).violations;
      expect(wrong).toContain("NEVER was accepted and is lost");
      for (const found of [
        /^notification-2: CHAOS_\d+: order\.[a-z]+ was told twice$/,
        /^notification-2 and notification do not show the same again$/,
        /^notification-2 and notification differ in notifications: /,
        /^api-gateway-3 and api-gateway do not show the same CHAOS_\d+$/,
        /^api-gateway-3 and api-gateway differ in order_steps: /,
      ])
        expect(wrong).toContainEqual(expect.stringMatching(found));
    },
    LIMIT_MS,
  );
});
