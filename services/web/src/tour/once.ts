import { placeOrder } from "../api/gateway.ts";
import { deliverAgain, fetchFigures } from "../api/supervisor.ts";
import { expectThat, until } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

const TIMES = 5;

export const once: TourPromise = {
  number: 2,
  title: "Once.",
  text: "However often a client asks or a broker delivers, an order takes effect once.",
  button: "Send everything again",
  async show({ stage, step }) {
    const { productId } = await stage.plenty();
    const lines = [{ productId, quantity: 1 }];
    const orderId = await step("Place an order and see it through", async () => {
      const placed = await stage.place(lines);
      await stage.reaches(placed, "confirmed", "backordered");
      return placed;
    });
    const before = {
      stock: await stage.stock(productId),
      steps: (await stage.order(orderId)).history.length,
    };
    await step(`Send the same request ${TIMES} times more: “you have that already”`, async () => {
      const answers = await Promise.all(
        Array.from({ length: TIMES }, () => placeOrder(stage.token, orderId, lines)),
      );
      expectThat(
        answers.every(({ replayed }) => replayed),
        "One of the repeats was taken for a new order.",
      );
    });
    const dropped = await step("Deliver each of its messages a second time", async () => {
      const seen = await duplicates();
      const { records } = await deliverAgain(orderId);
      const published = Object.values(records).reduce((sum, one) => sum + one, 0);
      return until("the inboxes to drop the copies", async () => {
        const more = (await duplicates()) - seen;
        return more >= published && more;
      });
    });
    await step("Nothing has changed: not the stock, not the order", async () => {
      const after = {
        stock: await stage.stock(productId),
        steps: (await stage.order(orderId)).history.length,
      };
      expectThat(
        after.stock.reserved === before.stock.reserved && after.steps === before.steps,
        `Before: ${JSON.stringify(before)}; after: ${JSON.stringify(after)}.`,
      );
    });
    return `${TIMES} repeated requests and ${dropped} copies of messages: no effect at all.`;
  },
};

/** Copies that the inboxes of all services have dropped so far. */
async function duplicates(): Promise<number> {
  const { services } = await fetchFigures();
  return services.reduce((sum, service) => sum + (service.duplicates ?? 0), 0);
}
