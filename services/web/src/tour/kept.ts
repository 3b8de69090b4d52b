import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";

const stopBroker: Step = {
  text: "Stop the broker: now the gateway's disk is the only place an order can be",
  look: "The broker is stopped, and its lines are cut: no message travels.",
  parts: ["broker"],
  code: code.stop,
  test: tests.stop,
};
const place: Step = {
  text: "Place an order: accepted",
  look: "The gateway has a message in its outbox, on its disk, in the same transaction as the order.",
  parts: ["api-gateway"],
  code: code.outbox,
  test: tests.onlyGateway,
};
const kill: Step = {
  text: "Kill the gateway (SIGKILL) right after",
  look: "The gateway has crashed; the supervisor starts it again.",
  parts: ["api-gateway"],
  code: code.kill,
  test: tests.kill,
};
const found: Step = {
  text: "Started again, it still has the order",
  look: "The new process has the order, and the message in its outbox.",
  parts: ["api-gateway"],
  code: code.storeOrder,
  test: tests.crash,
};
const startBroker: Step = {
  text: "Start the broker: the outbox is sent",
  look: "The message leaves the gateway for the broker, and the outbox is empty.",
  parts: ["api-gateway", "broker"],
  code: code.relay,
  test: tests.relay,
};
const goesOn: Step = {
  text: "The order goes on to its end",
  look: "Its timeline has the wait for the broker, and everything that came after.",
  parts: ["order", "inventory"],
  code: code.decideOrder,
  test: tests.outage,
};

export const kept: TourPromise = {
  number: 1,
  title: "Accepted orders are never lost.",
  text: "When the store says that it has an order, the order is on its disk. Killing any of the processes changes nothing about that.",
  button: "Kill the gateway",
  test: tests.crash,
  steps: [stopBroker, place, kill, found, startBroker, goesOn],
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    await step(stopBroker, () => scenario.act("stop", "broker"));
    const orderId = await step(place, async () => {
      const placed = await scenario.place([line]);
      await scenario.untilUnsent("api-gateway", (messages) => messages > 0);
      return placed;
    });
    await step(kill, () => scenario.act("kill", "api-gateway"));
    const { status } = await step(found, () =>
      scenario.until("the gateway to show the order", () => scenario.order(orderId)),
    );
    await step(startBroker, async () => {
      await scenario.act("start", "broker");
      await scenario.untilUnsent("api-gateway", (messages) => messages === 0);
    });
    const order = await step(goesOn, () => scenario.untilStatus(orderId, "confirmed", "backordered"));
    return `Order ${orderId} was “${status}” after the crash and is “${order.status}” now.`;
  },
};
