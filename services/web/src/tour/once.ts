import { placeOrder } from "../api/gateway.ts";
import { deliverAgain, fetchFigures } from "../api/supervisor.ts";
import { expectThat, until } from "./scenario.ts";
import type { TourPromise } from "./tour.ts";

const TIMES = 5;

export const once: TourPromise = {
  number: 2,
  title: "Every order counts once.",
  text: "However often a client asks or a broker delivers, an order takes effect once.",
  button: "Send everything again",
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const orderId = await step("Place an order and see it through", async () => {
      const placed = await scenario.place([line]);
      await scenario.untilStatus(placed, "confirmed", "backordered");
      return placed;
    });
    const observe = async () => ({
      stock: await scenario.stock(line.productId),
      steps: (await scenario.order(orderId)).history.length,
    });
    const before = await observe();
    await step(`Send the same request ${TIMES} times more: “you have that already”`, async () => {
      const answers = await Promise.all(
        Array.from({ length: TIMES }, () => placeOrder(scenario.token, orderId, [line])),
      );
      expectThat(
        answers.every(({ replayed }) => replayed),
        "One of the repeats was taken for a new order.",
      );
    });
    const dropped = await step("Deliver each of its messages a second time", async () => {
      const earlier = await duplicates();
      const { records } = await deliverAgain({ orderId, customerId: scenario.customerId });
      const published = Object.values(records).reduce((sum, one) => sum + one, 0);
      return until("the inboxes to drop the copies", async () => {
        const more = (await duplicates()) - earlier;
        return more >= published && more;
      });
    });
    await step("Nothing has changed: not the stock, not the order", async () => {
      const after = await observe();
      expectThat(
        after.stock.reserved === before.stock.reserved && after.steps === before.steps,
        `Before: ${JSON.stringify(before)}; after: ${JSON.stringify(after)}.`,
      );
    });
    return `${TIMES} repeated requests and ${dropped} copies of messages: no effect at all.`;
  },
};

/** The number of duplicates that the inboxes of all services have dropped. */
async function duplicates(): Promise<number> {
  const { services } = await fetchFigures();
  return services.reduce((sum, service) => sum + (service.duplicates ?? 0), 0);
}
