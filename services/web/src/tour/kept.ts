import { until } from "./scenario.ts";
import type { TourPromise } from "./tour.ts";

export const kept: TourPromise = {
  number: 1,
  title: "Accepted orders are never lost.",
  text: "When the store says that it has an order, the order is on its disk. Killing any of the processes changes nothing about that.",
  button: "Kill the gateway",
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    await step("Stop the broker: now the gateway's disk is the only place an order can be", () =>
      scenario.act("stop", "broker"),
    );
    const orderId = await step("Place an order: accepted", () => scenario.place([line]));
    await step("Kill the gateway (SIGKILL) right after", () => scenario.act("kill", "api-gateway"));
    const { status } = await step("Started again, it still has the order", () =>
      until("the gateway to show the order", () => scenario.order(orderId)),
    );
    await step("Start the broker", () => scenario.act("start", "broker"));
    const order = await step("The order goes on to its end", () =>
      scenario.untilStatus(orderId, "confirmed", "backordered"),
    );
    return `Order ${orderId} was “${status}” after the crash and is “${order.status}” now.`;
  },
};
