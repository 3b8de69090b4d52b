import { expectThat } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

const OTHERS = ["broker", "order", "notification"] as const;

export const anyPartMayBeDown: TourPromise = {
  number: 6,
  title: "Any part may be down.",
  text: "Orders are accepted and pages answered while parts of the store are away; what was missed is caught up when they are back.",
  button: "Stop the inventory, then the rest",
  async show({ stage, step }) {
    const { productId } = await stage.plenty();
    const lines = [{ productId, quantity: 1 }];
    await step("Stop the inventory", () => stage.act("stop", "inventory"));
    const first = await step("Place an order: accepted, then pending", async () => {
      const orderId = await stage.place(lines);
      await stage.reaches(orderId, "pending");
      return orderId;
    });
    await step("Stop the broker, the order service and the notifications too", () =>
      stage.act("stop", ...OTHERS),
    );
    const second = await step("Only the gateway is left. Place another order: accepted", () =>
      stage.place(lines),
    );
    await step("The shelves are shown all the same, from the gateway's own copy", async () => {
      expectThat((await stage.products()).length > 0, "Nothing is shown.");
    });
    await step("Start everything again", async () => {
      await stage.act("start", "broker");
      await stage.act("start", "inventory", "order", "notification");
    });
    const orders = await step("Both orders go on to their end by themselves", () =>
      Promise.all([first, second].map((orderId) => stage.reaches(orderId, "confirmed", "backordered"))),
    );
    return `With one part left of five, orders were taken: now ${orders.map(({ status }) => `“${status}”`).join(" and ")}.`;
  },
};
