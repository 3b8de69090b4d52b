import { placeOrder } from "../api/gateway.ts";
import { deliverAgain, fetchFigures } from "../api/supervisor.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";
import { expectThat } from "./until.ts";

const TIMES = 5;

const place: Step = {
  text: "Place an order and see it through",
  look: "Its messages cross the map, and the large one names them: PlaceOrder, OrderPlaced, StockReserved, OrderConfirmed.",
  parts: ["broker"],
  code: code.decideOrder,
  test: tests.crash,
};
const repeat: Step = {
  text: `Send the same request ${TIMES} more times`,
  look: "No message travels: the gateway answers that it has the order.",
  parts: ["api-gateway"],
  code: code.acceptOrder,
  test: tests.sameRequest,
};
const deliver: Step = {
  text: "Deliver each of its messages a second time",
  look: "The same messages travel again, and the inbox of each service drops them.",
  parts: ["api-gateway", "order", "inventory", "notification"],
  code: code.inbox,
  test: tests.inbox,
};
const compare: Step = {
  text: "Nothing has changed: not the stock, not the order",
  look: "The timeline of the order has each step once.",
  parts: ["inventory"],
  code: code.inbox,
  test: tests.duplicates,
};

export const once: TourPromise = {
  number: 2,
  title: "Every order counts once.",
  text: "However often a client asks or a broker delivers, an order takes effect once.",
  button: "Send everything again",
  test: tests.duplicates,
  steps: [place, repeat, deliver, compare],
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const orderId = await step(place, async () => {
      const placed = await scenario.place([line]);
      await scenario.untilStatus(placed, "confirmed", "backordered");
      return placed;
    });
    const observe = async () => ({
      stock: await scenario.stock(line.productId),
      steps: (await scenario.order(orderId)).history.length,
    });
    const before = await observe();
    await step(repeat, async () => {
      const answers = await Promise.all(
        Array.from({ length: TIMES }, () => placeOrder(scenario.token, orderId, [line])),
      );
      scenario.showOrder(orderId);
      expectThat(
        answers.every(({ replayed }) => replayed),
        "One of the repeats was taken for a new order.",
      );
    });
    const dropped = await step(deliver, async () => {
      const earlier = await duplicates();
      const { records } = await deliverAgain({ orderId, customerId: scenario.customerId });
      scenario.showOrder(orderId);
      const published = Object.values(records).reduce((sum, one) => sum + one, 0);
      return scenario.until("the inboxes to drop the copies", async () => {
        const more = (await duplicates()) - earlier;
        return more >= published && more;
      });
    });
    await step(compare, async () => {
      const after = await observe();
      scenario.showOrder(orderId);
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
