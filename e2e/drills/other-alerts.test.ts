import { expect, test } from "bun:test";
import { join } from "node:path";
import { PlaceOrder } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { cloudEvent } from "../support/bad-messages.ts";
import type { Customer } from "../support/customer.ts";
import { useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

describeDrill("one store, one fault after the other", () => {
  const store = useOwnStore({ env: { TOPICS: "check" } });
  let customer: Customer;
  const accepted: string[] = [];

  test(
    "a broker that is away",
    async () => {
      const operator = new Operator(store);
      await store.seed();
      customer = await store.signIn("CUSTOMER_faults");
      await placed(customer, "before");
      await store.process("broker").stop();
      await customer.place(order("without-broker"));
      accepted.push("before", "without-broker");
      const seen = await operator.follow("ServiceNotReady", 1, {}, { mayFail: true });
      expect(seen).toMatch(/FAILED +broker +no answer from/);
      expect(await operator.follow("BrokerUnreachable", 1, {}, { mayFail: true })).toContain("no answer");
      await store.process("broker").start();
      await customer.until("without-broker", "confirmed");
      await untilIdle(store);
      // The broker is told of handled offsets after SQLite.
      await eventually(
        async () => /^order +order\.commands +0$/m.test(await operator.follow("ConsumerLagging", 1)),
        "no lag that the broker knows of",
      );
    },
    DRILL_LIMIT_MS,
  );

  test(
    "a topic that is gone",
    async () => {
      const operator = new Operator(store);
      await store.records.deleteTopic("inventory.commands");
      const seen = await operator.follow("First look", 1, {}, { mayFail: true });
      expect(seen).toMatch(/FAILED +topics +inventory\.commands does not exist/);
      const listed = await operator.follow(
        "TopicMisconfigured",
        1,
        { SERVICE: "inventory" },
        { mayFail: true },
      );
      expect(listed).toMatch(/nothing is found|inventory\.commands/);
      expect(await operator.follow("OutboxTopicRefused", 1)).toContain("created inventory.commands");
      const admin = await store.signIn("ADMIN_faults", "admin");
      const before = (await store.stock("PRODUCT_012")).onHand;
      expect((await admin.restock("PRODUCT_012", 1)).status).toBe(202);
      await eventually(async () => (await store.stock("PRODUCT_012")).onHand === before + 1, "a restock");
    },
    DRILL_LIMIT_MS,
  );

  test(
    "a message that nobody can handle",
    async () => {
      const operator = new Operator(store);
      const key = "nobody";
      const value = Buffer.from(
        JSON.stringify(cloudEvent({ type: PlaceOrder.type, subject: key, data: {} })),
      );
      await store.records.write([{ topic: "order.commands", key: Buffer.from(key), value }]);
      await eventually(async () => (await store.metric("order", "dead_letters")) === 1, "a dead letter");
      const found = { SERVICE: /^(\S+) +\d+ .*schema/m, ID: /^\S+ +(\d+) .*schema/m };
      expect(await operator.follow("DeadLetters", 1, found)).toContain("schema");
      await operator.follow("DeadLetters", 2, { ...found, REASON: "sent by hand" });
      expect(await store.metric("order", "dead_letters")).toBe(0);
      expect(await operator.follow("EffectsDead", 1)).toContain("no effect");
    },
    DRILL_LIMIT_MS,
  );

  test(
    "a database that is restored from a backup",
    async () => {
      const operator = new Operator(store);
      const files = { SERVICE: "notification", BACKUP: join(store.dataDir, "backup") };
      await operator.follow("Back up and restore", 1, files);
      await placed(customer, "after-backup");
      accepted.push("after-backup");
      await untilIdle(store);
      await store.process("notification").stop();
      const printed = await operator.follow("Back up and restore", 2, files);
      expect(printed).toMatch(/^notification +– +\d+ .* an older copy of the service's$/m);
      // Without a decision of an operator it does not go on.
      void store
        .process("notification")
        .start()
        .catch(() => {});
      const says = async () =>
        JSON.stringify(await (await fetch(`${store.url("notification")}/readiness`)).json());
      await eventually(
        async () => (await says()).includes("not the newest copy"),
        "the backup to be recognised",
      );
      await store.process("notification").stop();
      expect(await operator.follow("Back up and restore", 3, files)).toContain("takes it over");
      await store.process("notification").start();
      const owners = await operator.follow("One process for each service", 1);
      expect(owners.match(/ is the service's$/gm)).toHaveLength(4);
      await expectHealthy(store, operator, customer, accepted);
    },
    DRILL_LIMIT_MS,
  );
});
