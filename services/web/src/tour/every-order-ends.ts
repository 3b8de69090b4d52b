import { restock } from "../api/admin.ts";
import { cancelOrder } from "../api/gateway.ts";
import type { Line, Order } from "../api/types.ts";
import { MAX_QUANTITY } from "../state/basket.ts";
import { expectThat, type Scenario, until } from "./scenario.ts";
import type { TourPromise } from "./tour.ts";

/** The factor between two restocks: earlier waiting orders are served after a few, whatever their quantity. */
const GROWTH = 4;

export const everyOrderEnds: TourPromise = {
  number: 5,
  title: "Every order ends.",
  text: "Confirmed, rejected or cancelled. A shortage makes it wait; new stock serves those that wait, first come, first served.",
  button: "Order what is sold out",
  async demonstrate(scenario) {
    const { step } = scenario;
    const [{ productId, name, available }] = await scenario.products();
    const line = { productId, quantity: available + 1 };
    const first = await step(`Order one ${name} more than there is: it waits`, () =>
      placeBackordered(scenario, line),
    );
    const second = await step("Order the same again: it waits behind the first", () =>
      placeBackordered(scenario, line),
    );
    await step("Cancel the second one", async () => {
      await cancelOrder(scenario.token, second);
      await scenario.untilStatus(second, "cancelled");
    });
    const order = await step("Restock, and touch nothing else: the first one is confirmed by itself", () =>
      restockUntilConfirmed(scenario, line, first),
    );
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
  let onHand = -1;
  let quantity = shortage;
  return until(`${orderId} to be served`, async () => {
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
