import { cancelOrder, restock } from "../api/gateway.ts";
import type { Order } from "../api/types.ts";
import { adminToken } from "../state/session.ts";
import { expectThat, type Stage, until } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

/** How many more are ordered than there are, and the most that there may be for it to stay a small crowd. */
const TOO_MANY = 3;
const MOST = 12;

export const neverOversold: TourPromise = {
  number: 4,
  title: "Stock is never oversold.",
  text: "What is set aside and what is available are together what is on hand, at every moment. Nothing is promised twice.",
  button: "Order more than there is",
  async show({ stage, step }) {
    const { productId, name, available } = await step("Pick something that there is little of", () =>
      scarce(stage),
    );
    const crowd = available + TOO_MANY;
    const orders = await step(`${crowd} orders at once for ${available} × ${name}`, async () => {
      const placed = await Promise.all(
        Array.from({ length: crowd }, () => stage.place([{ productId, quantity: 1 }])),
      );
      return Promise.all(placed.map((orderId) => stage.reaches(orderId, "confirmed", "backordered")));
    });
    const confirmed = orders.filter(({ status }) => status === "confirmed").length;
    const stock = await step("Look at the shelf", () => stage.stock(productId));
    const { onHand, reserved } = stock;
    expectThat(onHand === stock.available + reserved && stock.available >= 0, JSON.stringify(stock));
    expectThat(confirmed <= available, `${confirmed} were confirmed, of ${available}.`);
    await step("Call off those that wait", () => callOff(stage, orders));
    return `${confirmed} confirmed, ${crowd - confirmed} had to wait. On hand ${onHand} = reserved ${reserved} + available ${stock.available}.`;
  },
};

/** Something of which there are a few: what there is least of; or a few more of what is sold out. */
async function scarce(stage: Stage) {
  const find = async () => {
    const few = (await stage.products()).filter(({ available }) => available > 0 && available <= MOST);
    return few.sort((one, other) => one.available - other.available)[0];
  };
  const found = await find();
  if (found !== undefined) return found;
  const [first] = await stage.products();
  if (first !== undefined) await restock(await adminToken(), first.productId, TOO_MANY);
  return until("a little stock", find);
}

async function callOff(stage: Stage, orders: readonly Order[]): Promise<void> {
  const waiting = orders.filter(({ status }) => status === "backordered");
  await Promise.all(
    waiting.map(async ({ orderId }) => {
      await cancelOrder(stage.token, orderId);
      await stage.reaches(orderId, "cancelled");
    }),
  );
}
