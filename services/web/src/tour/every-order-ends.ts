import { restock } from "../api/admin.ts";
import { cancelOrder } from "../api/gateway.ts";
import type { Line, Order } from "../api/types.ts";
import { MAX_QUANTITY } from "../state/basket.ts";
import type { Scenario } from "./scenario.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";
import { expectThat } from "./until.ts";

/** The factor between two restocks: earlier waiting orders are served after a few, whatever their quantity. */
const GROWTH = 4;

const placeFirst: Step = {
  text: "Order one more of the scarcest product than there is: the order waits",
  look: "The order is “backordered”. Its timeline has the shortage.",
  parts: ["inventory"],
  code: code.queue,
  test: tests.shortage,
};
const placeSecond: Step = {
  text: "Order the same again: it waits behind the first",
  look: "First come, first served: no later order takes what the first one is short of.",
  parts: ["inventory"],
  code: code.queue,
  test: tests.queue,
};
const cancelSecond: Step = {
  text: "Cancel the second one",
  look: "It ends as “cancelled” and gives up its place.",
  parts: ["order", "inventory"],
  code: code.decideOrder,
  test: tests.cancel,
};
const restockFirst: Step = {
  text: "Restock, and touch nothing else: the first one is confirmed by itself",
  look: "New stock goes to those that wait, in the order in which they came.",
  parts: ["inventory", "order"],
  code: code.serve,
  test: tests.serve,
};

export const everyOrderEnds: TourPromise = {
  number: 5,
  title: "Every order ends.",
  text: "Confirmed, rejected or cancelled. A shortage makes it wait; new stock serves those that wait, first come, first served.",
  button: "Order what is sold out",
  test: tests.recovery,
  steps: [placeFirst, placeSecond, cancelSecond, restockFirst],
  async demonstrate(scenario) {
    const { step } = scenario;
    const [{ productId, available }] = await scenario.products();
    const line = { productId, quantity: available + 1 };
    const first = await step(placeFirst, () => placeBackordered(scenario, line));
    const second = await step(placeSecond, () => placeBackordered(scenario, line));
    await step(cancelSecond, async () => {
      await cancelOrder(scenario.token, second);
      await scenario.untilStatus(second, "cancelled");
    });
    const order = await step(restockFirst, () => restockUntilConfirmed(scenario, line, first));
    const waited = order.history.some(({ type }) => type === "store.order.backordered.v1");
    expectThat(waited, "It was confirmed without having waited.");
    return `Order ${first} waited and was confirmed; order ${second} was cancelled. None is left waiting.`;
  },
};

async function placeBackordered(scenario: Scenario, line: Line): Promise<string> {
  const orderId = await scenario.place([line]);
  await scenario.untilStatus(orderId, "backordered");
  return orderId;
}

/** Restocks in growing quantities, because earlier orders for the same product are served first. */
async function restockUntilConfirmed(
  scenario: Scenario,
  { productId, quantity: shortage }: Line,
  orderId: string,
): Promise<Order> {
  scenario.showOrder(orderId);
  let onHand = -1;
  let quantity = shortage;
  return scenario.until(`${orderId} to be served`, async () => {
    const stock = await scenario.stock(productId);
    const order = await scenario.order(orderId);
    if (order.status === "confirmed") return order;
    // The last restock has arrived and was not enough.
    if (stock.onHand > onHand) {
      onHand = stock.onHand;
      await restock(productId, quantity);
      quantity = Math.min(quantity * GROWTH, MAX_QUANTITY);
    }
    return undefined;
  });
}
