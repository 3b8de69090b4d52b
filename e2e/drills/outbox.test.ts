import { expect, test } from "bun:test";
import { allTopics } from "@distributed-messaging/contracts/topics";
import { eventually } from "@distributed-messaging/messaging/testing";
import { useOwnStore } from "../support/own-store.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

const TOPIC = "order.commands";
const real = allTopics.find(({ name }) => name === TOPIC)?.config ?? {};

describeDrill("a message that the broker refuses", () => {
  const store = useOwnStore();
  const operator = new Operator(store);
  const parked = () => store.metric("api-gateway", "outbox_parked");

  test(
    "is sent again after its cause is gone, and one that nobody needs is dropped",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_parked");
      await placed(customer, "before");
      // Too small for any message.
      await store.records.configure(TOPIC, { ...real, "max.message.bytes": "100" });
      await customer.place(order("parked"));
      await eventually(async () => (await parked()) === 1, "the order to be parked");

      const seen = await operator.follow("First look", 1, {}, { mayFail: true });
      expect(seen).toMatch(/FAILED +topics +order\.commands max\.message\.bytes is 100/);
      const ids = { SERVICE: /^(\S+) +\d+ .*order\.commands/m, ID: /^\S+ +(\d+) .*order\.commands/m };
      const listed = await operator.follow("OutboxParked", 1, ids, { mayFail: true });
      expect(listed).toContain("larger than");
      // The administrator of the cluster.
      await store.records.configure(TOPIC, real);
      await operator.follow("OutboxParked", 2, { ...ids, TOPIC });
      await eventually(async () => (await parked()) === 0, "nothing to be parked");
      await expectHealthy(store, operator, customer, ["before", "parked"]);
    },
    DRILL_LIMIT_MS,
  );

  test(
    "one that nobody needs is dropped",
    async () => {
      const customer = await store.signIn("CUSTOMER_dropped");
      await store.records.configure(TOPIC, { ...real, "max.message.bytes": "100" });
      await customer.place(order("dropped"));
      await eventually(async () => (await parked()) === 1, "the order to be parked");
      await store.records.configure(TOPIC, real);
      const later = new Operator(store);
      const ids = { SERVICE: /^(\S+) +\d+ .*order\.commands/m, ID: /^\S+ +(\d+) .*order\.commands/m };
      await later.follow("OutboxParked", 1, ids, { mayFail: true });
      const printed = await later.follow("OutboxParked", 3, { ...ids, REASON: "a test order" });
      expect(printed).toMatch(/ is dropped$[\s\S]*^no message is parked$/m);
    },
    DRILL_LIMIT_MS,
  );
});
