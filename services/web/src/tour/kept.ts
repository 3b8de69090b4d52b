import { until } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

export const kept: TourPromise = {
  number: 1,
  title: "Accepted is kept.",
  text: "When the store says that it has an order, the order is on its disk. Killing any of the processes changes nothing about that.",
  button: "Kill the gateway",
  async show({ stage, step }) {
    const { productId } = await stage.plenty();
    await step("Stop the broker: now the gateway's disk is the only place an order can be", () =>
      stage.act("stop", "broker"),
    );
    const orderId = await step("Place an order: accepted", () => stage.place([{ productId, quantity: 1 }]));
    await step("Kill the gateway (SIGKILL) right after", () => stage.act("kill", "api-gateway"));
    const { status } = await step("Started again, it still has the order", () =>
      until("the gateway to show the order", () => stage.order(orderId)),
    );
    await step("Start the broker", () => stage.act("start", "broker"));
    const order = await step("The order goes on to its end", () =>
      stage.reaches(orderId, "confirmed", "backordered"),
    );
    return `Order ${orderId} was “${status}” after the crash and is “${order.status}” now.`;
  },
};
