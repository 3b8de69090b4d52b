import { fetchProcesses } from "../api/supervisor.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";

const SERVICE = "inventory";
/** The orders that are placed without the inventory. */
const PILE = 4;

const placeFirst: Step = {
  text: "Place an order while everything runs",
  look: "Its messages cross the map at once, and nothing stays unread.",
  parts: ["broker"],
  code: code.decideOrder,
  test: tests.crash,
};
const stopOne: Step = {
  text: "Stop the inventory",
  look: "The inventory is stopped, and its line is cut.",
  parts: [SERVICE],
  code: code.stop,
  test: tests.stop,
};
const placeOrders: Step = {
  text: `Place ${PILE} orders: accepted, then pending`,
  look: "What the inventory has not read piles up at the broker.",
  parts: ["broker", SERVICE],
  code: code.consumer,
  test: tests.outage,
};
const stopOthers: Step = {
  text: "Stop the broker, the order service and the notifications too",
  look: "Only the gateway is left.",
  parts: ["broker", "order", "notification"],
  code: code.stop,
  test: tests.stop,
};
const placeLast: Step = {
  text: "Place another order: accepted",
  look: "The gateway keeps its message in the outbox.",
  parts: ["api-gateway"],
  code: code.outbox,
  test: tests.onlyGateway,
};
const shelves: Step = {
  text: "The shelves are shown all the same, from the gateway's own copy",
  look: "The gateway needs no other service to answer.",
  parts: ["api-gateway"],
  code: code.ownCatalogue,
  test: tests.onlyGateway,
};
const startOthers: Step = {
  text: "Start all but the inventory",
  look: "The outbox is sent. What the inventory has not read is still there, on the broker's disk.",
  parts: ["broker", "api-gateway", SERVICE],
  code: code.relay,
  test: tests.relay,
};
const startOne: Step = {
  text: "Start the inventory",
  look: "It reads what it has missed: the pile drains.",
  parts: [SERVICE, "broker"],
  code: code.consumer,
  test: tests.outage,
};
const end: Step = {
  text: "All orders go on to their end by themselves",
  look: "Their timelines have the wait for the inventory.",
  parts: ["order"],
  code: code.decideOrder,
  test: tests.outage,
};

export const anyPartMayBeDown: TourPromise = {
  number: 6,
  title: "Any part may be down.",
  text: "Orders are accepted and pages answered while parts of the store are away; what was missed is caught up when they are back.",
  button: "Stop all but the gateway",
  test: tests.outage,
  steps: [placeFirst, stopOne, placeOrders, stopOthers, placeLast, shelves, startOthers, startOne, end],
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const names = (await fetchProcesses()).map(({ name }) => name);
    const others = names.filter((name) => name !== "api-gateway" && name !== SERVICE && name !== "broker");
    const placed: string[] = [];
    // Of a group that has never read a topic, nobody knows what it has not read.
    await step(placeFirst, async () => {
      await scenario.untilStatus(await scenario.place([line]), "confirmed", "backordered");
      await scenario.untilUnread(SERVICE, (messages) => messages === 0);
    });
    await step(stopOne, () => scenario.act("stop", SERVICE));
    await step(placeOrders, async () => {
      for (let count = 1; count <= PILE; count++) {
        placed.push(await scenario.place([line]));
        await scenario.moment();
      }
      await scenario.untilUnread(SERVICE, (messages) => messages >= PILE);
      for (const orderId of placed) await scenario.untilStatus(orderId, "pending");
    });
    await step(stopOthers, () => scenario.act("stop", "broker", ...others));
    await step(placeLast, async () => {
      placed.push(await scenario.place([line]));
      await scenario.untilUnsent("api-gateway", (messages) => messages > 0);
    });
    await step(shelves, () => scenario.products());
    await step(startOthers, async () => {
      await scenario.act("start", "broker");
      await scenario.act("start", ...others);
      await scenario.untilUnread(SERVICE, (messages) => messages > PILE);
    });
    await step(startOne, async () => {
      await scenario.act("start", SERVICE);
      await scenario.untilUnread(SERVICE, (messages) => messages === 0);
    });
    const orders = await step(end, () =>
      Promise.all(placed.map((orderId) => scenario.untilStatus(orderId, "confirmed", "backordered"))),
    );
    const statuses = [...new Set(orders.map(({ status }) => `“${status}”`))].join(" and ");
    return `With one part left of ${names.length}, orders were taken: now all ${orders.length} are ${statuses}.`;
  },
};
