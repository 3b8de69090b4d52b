import { restock } from "../api/admin.ts";
import { cancelOrder } from "../api/gateway.ts";
import type { Product } from "../api/types.ts";
import type { Scenario } from "./scenario.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";
import { expectThat } from "./until.ts";

/** The number of orders above the stock, and the largest stock with which the number of orders stays small. */
const EXCESS = 3;
const MAX_STOCK = 12;

const pick: Step = {
  text: "Pick something that there is little of",
  look: "The gateway answers from its own copy of the catalogue.",
  parts: ["api-gateway"],
  code: code.ownCatalogue,
  test: tests.catalogue,
};
const order: Step = {
  text: `Order it ${EXCESS} times more often than it is there, all at once`,
  look: "The inventory reserves stock for as many as it has; the others wait.",
  parts: ["inventory"],
  code: code.reserve,
  test: tests.shortage,
};
const count: Step = {
  text: "Look at the shelf",
  look: "Reserved plus available is stock on hand, and nothing is below zero.",
  parts: ["inventory"],
  code: code.stock,
  test: tests.stock,
};
const cancel: Step = {
  text: "Cancel those that wait",
  look: "Each of them ends as “cancelled”; nothing was reserved for it.",
  parts: ["order", "inventory"],
  code: code.decideOrder,
  test: tests.cancel,
};

export const neverOversold: TourPromise = {
  number: 4,
  title: "Stock is never oversold.",
  text: "Reserved plus available always equals stock on hand. Nothing is promised twice.",
  button: "Order more than there is",
  test: tests.shortage,
  steps: [pick, order, count, cancel],
  async demonstrate(scenario) {
    const { step } = scenario;
    const { productId, available } = await step(pick, () => scarceProduct(scenario));
    const number = available + EXCESS;
    const orders = await step(order, async () => {
      const placed = await Promise.all(
        Array.from({ length: number }, () => scenario.place([{ productId, quantity: 1 }])),
      );
      return Promise.all(placed.map((orderId) => scenario.untilStatus(orderId, "confirmed", "backordered")));
    });
    const confirmed = orders.filter(({ status }) => status === "confirmed");
    const waiting = orders.filter(({ status }) => status === "backordered");
    const stock = await step(count, async () => {
      const [first] = confirmed;
      if (first !== undefined) scenario.showOrder(first.orderId);
      return scenario.stock(productId);
    });
    const { onHand, reserved } = stock;
    expectThat(onHand === stock.available + reserved && stock.available >= 0, JSON.stringify(stock));
    expectThat(confirmed.length <= available, `${confirmed.length} were confirmed, of ${available}.`);
    await step(cancel, () =>
      Promise.all(
        waiting.map(async ({ orderId }) => {
          await cancelOrder(scenario.token, orderId);
          await scenario.untilStatus(orderId, "cancelled");
        }),
      ),
    );
    return `${confirmed.length} confirmed, ${waiting.length} had to wait. On hand ${onHand} = reserved ${reserved} + available ${stock.available}.`;
  },
};

/** The product with the smallest stock between 1 and MAX_STOCK. Restocks the scarcest product if there is none. */
async function scarceProduct(scenario: Scenario): Promise<Product> {
  const find = async () =>
    (await scenario.products()).find(({ available }) => available > 0 && available <= MAX_STOCK);
  const found = await find();
  if (found !== undefined) return found;
  const [scarcest] = await scenario.products();
  await restock(scarcest.productId, EXCESS);
  return scenario.until("a little stock", find);
}
