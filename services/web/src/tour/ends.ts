import { cancelOrder, restock } from "../api/gateway.ts";
import { adminToken } from "../state/session.ts";
import { expectThat, type Stage } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

/** Others may wait for the same, and are served first. */
const FOR_OTHERS = 20;

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
    await step("Restock, and touch nothing else", async () =>
      restock(await adminToken(), productId, available + 1 + FOR_OTHERS),
    );
    const order = await step("The first one is confirmed by itself", () => stage.reaches(first, "confirmed"));
    const waited = order.history.some(({ type }) => type === "store.order.backordered.v1");
    expectThat(waited, "It was confirmed without having waited.");
    return `Order ${first} waited and was confirmed; order ${second} was cancelled. None is left waiting.`;
  },
};

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
