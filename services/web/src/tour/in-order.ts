import { discardDeadLetter, listDeadLetters } from "../api/dead-letters.ts";
import { publishBroken } from "../api/supervisor.ts";
import { newOrderId } from "../state/basket.ts";
import { expectThat, until } from "./stage.ts";
import type { TourPromise } from "./tour.ts";

const SERVICE = "order";
const LIMIT = 500;

export const inOrder: TourPromise = {
  number: 3,
  title: "In order per key.",
  text: "Messages of one order are handled in the order in which they were sent, even past one that nobody can read. All other orders go on.",
  button: "Send an unreadable message",
  async show({ stage, step }) {
    const { productId } = await stage.plenty();
    const lines = [{ productId, quantity: 1 }];
    const stuck = newOrderId();
    const broken = await step(
      "An unreadable message under a new order's key: parked as a dead letter",
      async () => {
        await publishBroken(stuck);
        return until("the dead letter", async () => (await lettersOf(stuck))[0]);
      },
    );
    await step("Place that order: its message waits behind the unreadable one", async () => {
      await stage.place(lines, stuck);
      await until("the order's message to wait", async () =>
        (await lettersOf(stuck)).some(({ reason }) => reason === "blocked"),
      );
    });
    await step("Place another order: it goes straight through", async () => {
      const other = await stage.place(lines);
      await stage.reaches(other, "confirmed", "backordered");
      const { status } = await stage.order(stuck);
      expectThat(status === "accepted", `The first order should wait, but is “${status}”.`);
    });
    await step("Throw the unreadable message away", () =>
      discardDeadLetter(SERVICE, broken.id, "shown in the tour"),
    );
    const order = await step("What waited behind it follows, in order", () =>
      stage.reaches(stuck, "confirmed", "backordered"),
    );
    const [first, second] = order.history.map(({ type }) => type);
    expectThat(
      first === "store.order.place.v1" && second === "store.order.placed.v1",
      "The order's steps came in another order.",
    );
    expectThat((await lettersOf(stuck)).length === 0, "Something of the order is still parked.");
    return `Order ${stuck} waited for its own dead letter only, and is “${order.status}” now.`;
  },
};

async function lettersOf(orderId: string) {
  return (await listDeadLetters(SERVICE, LIMIT, orderId)).filter(({ key }) => key === orderId);
}
