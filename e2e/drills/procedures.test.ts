import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames, storeTopics } from "@distributed-messaging/services/registry";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { brokerProcess } from "../support/broker-process.ts";
import { OwnStore, useOwnStore } from "../support/own-store.ts";
import { Records } from "../support/records.ts";
import { copyRepository, editCopy, linkPackages } from "../support/repository-copy.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

const TOPIC = "order.commands";

describeDrill("more partitions", () => {
  const store = useOwnStore();
  const operator = new Operator(store);
  const release = mkdtempSync(join(tmpdir(), "more-partitions-"));
  let released: StoreSupervisor | undefined;
  beforeAll(() => {
    copyRepository(release);
    linkPackages(release);
    const defined = `topic("${TOPIC}", "orderId", commandConfig`;
    editCopy(release, "shared/contracts/topics.ts", `${defined})`, `${defined}, 6)`);
  }, DRILL_LIMIT_MS);
  afterAll(async () => {
    await released?.stopAll();
    rmSync(release, { recursive: true, force: true });
  }, DRILL_LIMIT_MS);

  test(
    "are written once what was sent before is handled, and no order is lost",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_partitions");
      const before = Array.from({ length: 8 }, (_, number) => `before-${number}`);
      await placed(customer, ...before);
      for (const name of serviceNames) await store.process(name).stop();
      await store.records.addPartitions(TOPIC, 6);
      const { StoreSupervisor: Released }: typeof import("@distributed-messaging/supervisor/store") =
        await import(join(release, "services/supervisor/store.ts"));
      const { dataDir, brokers } = store;
      const env = { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true" };
      released = new Released({ dataDir, brokers, ports: store.supervisor.ports, env });
      await released.startAll();
      const waiting = Array.from({ length: 8 }, (_, number) => `waiting-${number}`);
      for (const orderId of waiting) await customer.place(order(orderId));

      const found = { TOPIC, SERVICE: "api-gateway", REASON: "order.commands has 6 partitions from now on" };
      const printed = await operator.follow("Add partitions", 1, found, { mayFail: true });
      expect(printed).toMatch(/^order +order\.commands +0$/m);
      expect(printed).toMatch(
        /^api-gateway +order\.commands.*partitions-changed[\s\S]*^no partition is stopped$/m,
      );
      await expectHealthy(store, operator, customer, [...before, ...waiting]);
      const used = Object.keys(await store.records.ends(TOPIC));
      expect(used.some((name) => name === `${TOPIC}/4` || name === `${TOPIC}/5`)).toBe(true);
    },
    DRILL_LIMIT_MS,
  );
});

describeDrill("another cluster", () => {
  const store = useOwnStore();
  const folder = mkdtempSync(join(tmpdir(), "another-cluster-"));
  const cluster = brokerProcess(folder, () => {});
  let moved: OwnStore | undefined;
  beforeAll(() => cluster.broker.start(), DRILL_LIMIT_MS);
  afterAll(async () => {
    await moved?.dispose();
    await cluster.broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }, DRILL_LIMIT_MS);

  test(
    "has the records of the former one; nothing is lost or done twice",
    async () => {
      const operator = new Operator(store);
      const NEW = cluster.brokers;
      await store.seed();
      const customer = await store.signIn("CUSTOMER_moved");
      await placed(customer, "before", "between");
      expect(await operator.follow("Move to another cluster", 1, { NEW })).toContain(`created ${TOPIC}`);

      await store.process("api-gateway").stop();
      await eventually(async () => {
        const printed = await operator.follow("Move to another cluster", 2);
        for (const name of serviceNames) expect(printed).toContain(`${name}: nothing waits to be sent`);
        expect(printed).not.toMatch(/^\S+ +\S+ +[1-9]\d*$/m);
        return true;
      }, "nothing to be under way");
      for (const name of serviceNames) await store.process(name).stop();
      // In place of MirrorMaker, which copies records as they are.
      const copy = new Records(NEW);
      for (const { name } of storeTopics) await copy.write(await store.records.read(name));
      await store.supervisor.stopAll();

      moved = new OwnStore({ brokers: NEW, dataDir: store.dataDir, ports: store.supervisor.ports });
      await moved.startAll();
      const after = new Operator(moved);
      await eventually(async () => {
        expect(await after.follow("Move to another cluster", 3, { NEW })).not.toContain("FAILED");
        return true;
      }, "the doctor to find nothing");
      await expectHealthy(moved, after, customer, ["before", "between"]);
    },
    DRILL_LIMIT_MS,
  );
});

describeDrill("a store that is emptied before its services are stopped", () => {
  const store = useOwnStore();
  const operator = new Operator(store);

  test(
    "sends what waits, and says when nothing does",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_drained");
      await placed(customer, "before");
      await store.process("broker").stop();
      await customer.place(order("waiting"));
      await store.process("api-gateway").stop();
      const seen = await operator.follow("Drain", 1, {}, { mayFail: true });
      expect(seen).toMatch(/^warning +outbox +api-gateway: \d+ of its messages wait to be sent/m);

      await store.process("broker").start();
      await store.process("api-gateway").start();
      await customer.until("waiting", "confirmed");
      await store.process("api-gateway").stop();
      await eventually(async () => {
        const printed = await operator.follow("Drain", 1);
        for (const name of serviceNames) expect(printed).toContain(`${name}: nothing waits to be sent`);
        return true;
      }, "nothing to wait");
      await store.process("api-gateway").start();
      await expectHealthy(store, operator, customer, ["before", "waiting"]);
    },
    DRILL_LIMIT_MS,
  );
});
