import { discardDeadLetter, listDeadLetters } from "../api/admin.ts";
import { publishBroken } from "../api/supervisor.ts";
import { newOrderId } from "../state/basket.ts";
import { expectThat, until } from "./scenario.ts";
import type { TourPromise } from "./tour.ts";

const SERVICE = "order";
const LIMIT = 500;

export const inOrder: TourPromise = {
  number: 3,
  title: "In order per key.",
  text: "Messages of one order are handled in the order in which they were sent, even past one that nobody can read. All other orders go on.",
  button: "Send an unreadable message",
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const orderId = newOrderId();
    const broken = await step(
      "An unreadable message under a new order's key: parked as a dead letter",
      async () => {
        const { key } = await publishBroken({ orderId, customerId: scenario.customerId });
        const { id } = await until("the dead letter", async () => (await deadLettersOf(key))[0]);
        return { id, key };
      },
    );
    await step("Place that order: its message waits behind the unreadable one", async () => {
      await scenario.place([line], orderId);
      await until("the order's message to wait", async () =>
        (await deadLettersOf(broken.key)).some(({ reason }) => reason === "blocked"),
      );
    });
    await step("Place another order: it goes straight through", async () => {
      const other = await scenario.place([line]);
      await scenario.untilStatus(other, "confirmed", "backordered");
      const { status } = await scenario.order(orderId);
      expectThat(status === "accepted", `The first order should wait, but is “${status}”.`);
    });
    await step("Throw the unreadable message away", () =>
      discardDeadLetter(SERVICE, broken.id, "shown in the tour"),
    );
    const order = await step("What waited behind it follows, in order", () =>
      scenario.untilStatus(orderId, "confirmed", "backordered"),
    );
    const [first, second] = order.history.map(({ type }) => type);
    expectThat(
      first === "store.order.place.v1" && second === "store.order.placed.v1",
      "The order's steps came in another order.",
    );
    expectThat((await deadLettersOf(broken.key)).length === 0, "Something of the order is still parked.");
    return `Order ${orderId} waited for its own dead letter only, and is “${order.status}” now.`;
  },
};

async function deadLettersOf(key: string) {
  return (await listDeadLetters(SERVICE, LIMIT, key)).filter((letter) => letter.key === key);
}
