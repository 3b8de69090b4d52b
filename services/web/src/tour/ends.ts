import { cancelOrder, restock } from "../api/gateway.ts";
import type { Order } from "../api/types.ts";
import { MAX_QUANTITY } from "../state/basket.ts";
import { adminToken } from "../state/session.ts";
import { expectThat, type Stage, until } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

/** How much more comes with each delivery: those in front are served after a few of them, whatever they wait for. */
const GROWTH = 4;

export const everyOrderEnds: TourPromise = {
  number: 5,
  title: "Every order ends.",
  text: "Confirmed, rejected or cancelled. A shortage makes it wait; new stock serves those that wait, first come, first served.",
  button: "Order what is sold out",
  async show({ stage, step }) {
    const { productId, name, available } = await least(stage);
    const lines = [{ productId, quantity: available + 1 }];
    const first = await step(`Order one ${name} more than there is: it waits`, () => waiting(stage, lines));
    const second = await step("Order the same again: it waits behind the first", () => waiting(stage, lines));
    await step("Call the second one off: cancelled", async () => {
      await cancelOrder(stage.token, second);
      await stage.reaches(second, "cancelled");
    });
    const order = await step("Restock, and touch nothing else: the first one is confirmed by itself", () =>
      restockUntilServed(stage, productId, first, available + 1),
    );
    const waited = order.history.some(({ type }) => type === "store.order.backordered.v1");
    expectThat(waited, "It was confirmed without having waited.");
    return `Order ${first} waited and was confirmed; order ${second} was cancelled. None is left waiting.`;
  },
};

/** Restocks as often as it takes, more each time: others may wait for a great many of the same, and are served first. */
async function restockUntilServed(
  stage: Stage,
  productId: string,
  orderId: string,
  missing: number,
): Promise<Order> {
  let onHand = -1;
  let quantity = missing;
  return until(`${orderId} to be served`, async () => {
    const stock = await stage.stock(productId);
    const order = await stage.order(orderId);
    if (order.status === "confirmed") return order;
    // The last delivery has been given out, and was not enough.
    if (stock.onHand > onHand) {
      onHand = stock.onHand;
      await restock(await adminToken(), productId, quantity);
      quantity = Math.min(quantity * GROWTH, MAX_QUANTITY);
    }
    return undefined;
  });
}

/** What there is least of. */
async function least(stage: Stage) {
  const [first] = [...(await stage.products())].sort((one, other) => one.available - other.available);
  expectThat(first !== undefined, "Nothing is sold here.");
  return first ?? { productId: "", name: "", available: 0 };
}

async function waiting(
  stage: Stage,
  lines: readonly { productId: string; quantity: number }[],
): Promise<string> {
  const orderId = await stage.place(lines);
  await stage.reaches(orderId, "backordered");
  return orderId;
}
