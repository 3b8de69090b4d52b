import { fetchProcesses } from "../api/supervisor.ts";
import type { TourPromise } from "./tour.ts";

export const anyPartMayBeDown: TourPromise = {
  number: 6,
  title: "Any part may be down.",
  text: "Orders are accepted and pages answered while parts of the store are away; what was missed is caught up when they are back.",
  button: "Stop the inventory, then the rest",
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const names = (await fetchProcesses()).map(({ name }) => name);
    const services = names.filter((name) => name !== "api-gateway" && name !== "broker");
    await step("Stop the inventory", () => scenario.act("stop", "inventory"));
    const first = await step("Place an order: accepted, then pending", async () => {
      const orderId = await scenario.place([line]);
      await scenario.untilStatus(orderId, "pending");
      return orderId;
    });
    await step("Stop the broker, the order service and the notifications too", () =>
      scenario.act("stop", "broker", ...services.filter((name) => name !== "inventory")),
    );
    const second = await step("Only the gateway is left. Place another order: accepted", () =>
      scenario.place([line]),
    );
    await step("The shelves are shown all the same, from the gateway's own copy", () => scenario.products());
    await step("Start everything again", async () => {
      await scenario.act("start", "broker");
      await scenario.act("start", ...services);
    });
    const orders = await step("Both orders go on to their end by themselves", () =>
      Promise.all([first, second].map((id) => scenario.untilStatus(id, "confirmed", "backordered"))),
    );
    return `With one part left of ${names.length}, orders were taken: now ${orders.map(({ status }) => `“${status}”`).join(" and ")}.`;
  },
};
