import { restock } from "../api/admin.ts";
import { cancelOrder } from "../api/gateway.ts";
import type { Product } from "../api/types.ts";
import { expectThat, type Scenario, until } from "./scenario.ts";
import type { TourPromise } from "./tour.ts";

/** The number of orders above the stock, and the largest stock with which the number of orders stays small. */
const EXCESS = 3;
const MAX_STOCK = 12;

export const neverOversold: TourPromise = {
  number: 4,
  title: "Stock is never oversold.",
  text: "Reserved plus available always equals stock on hand. Nothing is promised twice.",
  button: "Order more than there is",
  async demonstrate(scenario) {
    const { step } = scenario;
    const { productId, name, available } = await step("Pick something that there is little of", () =>
      scarceProduct(scenario),
    );
    const count = available + EXCESS;
    const orders = await step(`${count} orders at once for ${available} × ${name}`, async () => {
      const placed = await Promise.all(
        Array.from({ length: count }, () => scenario.place([{ productId, quantity: 1 }])),
      );
      return Promise.all(placed.map((orderId) => scenario.untilStatus(orderId, "confirmed", "backordered")));
    });
    const confirmed = orders.filter(({ status }) => status === "confirmed").length;
    const stock = await step("Look at the shelf", () => scenario.stock(productId));
    const { onHand, reserved } = stock;
    expectThat(onHand === stock.available + reserved && stock.available >= 0, JSON.stringify(stock));
    expectThat(confirmed <= available, `${confirmed} were confirmed, of ${available}.`);
    await step("Cancel those that wait", () =>
      Promise.all(
        orders
          .filter(({ status }) => status === "backordered")
          .map(async ({ orderId }) => {
            await cancelOrder(scenario.token, orderId);
            await scenario.untilStatus(orderId, "cancelled");
          }),
      ),
    );
    return `${confirmed} confirmed, ${count - confirmed} had to wait. On hand ${onHand} = reserved ${reserved} + available ${stock.available}.`;
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
  return until("a little stock", find);
}
