import { discardDeadLetter } from "../api/admin.ts";
import { publishBroken } from "../api/supervisor.ts";
import { newOrderId } from "../state/basket.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";
import { deadLettersOf, READER, rememberBroken } from "./undo.ts";
import { expectThat } from "./until.ts";

const publish: Step = {
  text: "An unreadable message under a new order's key: parked as a dead letter",
  look: "The order service has read it and goes on: nothing unread piles up.",
  parts: ["broker", READER],
  code: code.park,
  test: tests.park,
};
const placeBehind: Step = {
  text: "Place that order: its message waits behind the unreadable one",
  look: "The order stays “accepted”: its first message is blocked, because an earlier one of its key is parked.",
  parts: [READER],
  code: code.block,
  test: tests.block,
};
const placeAnother: Step = {
  text: "Place another order: it goes straight through",
  look: "The messages of the other order cross the map.",
  parts: [READER, "inventory"],
  code: code.consumer,
  test: tests.block,
};
const discard: Step = {
  text: "Discard the unreadable message",
  look: "An admin has discarded it, with a reason; what it blocked is released.",
  parts: [READER],
  code: code.discard,
  test: tests.discard,
};
const follows: Step = {
  text: "What waited behind it follows, in order",
  look: "The timeline of the first order has the wait, and then every step in its order.",
  parts: [READER, "inventory"],
  code: code.release,
  test: tests.release,
};

export const inOrder: TourPromise = {
  number: 3,
  title: "In order per key.",
  text: "Messages of one order are handled in the order in which they were sent, even past one that nobody can read. All other orders go on.",
  button: "Send an unreadable message",
  test: tests.discard,
  steps: [publish, placeBehind, placeAnother, discard, follows],
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const orderId = newOrderId();
    const broken = await step(publish, async () => {
      rememberBroken(scenario.customerId, orderId);
      const since = Date.now();
      const { key } = await publishBroken({ orderId, customerId: scenario.customerId });
      const { id } = await scenario.until("the dead letter", async () => (await deadLettersOf(key))[0]);
      await scenario.showLog(READER, /parked as a dead letter/, since);
      return { id, key };
    });
    await step(placeBehind, async () => {
      await scenario.place([line], orderId);
      await scenario.until("the order's message to wait", async () =>
        (await deadLettersOf(broken.key)).some(({ reason }) => reason === "blocked"),
      );
    });
    await step(placeAnother, async () => {
      const other = await scenario.place([line]);
      await scenario.untilStatus(other, "confirmed", "backordered");
      const { status } = await scenario.order(orderId);
      expectThat(status === "accepted", `The first order should wait, but is “${status}”.`);
    });
    await step(discard, async () => {
      await discardDeadLetter(READER, broken.id, "shown in the tour");
      scenario.showOrder(orderId);
    });
    const order = await step(follows, () => scenario.untilStatus(orderId, "confirmed", "backordered"));
    const [first, second] = order.history.map(({ type }) => type);
    expectThat(
      first === "store.order.place.v1" && second === "store.order.placed.v1",
      "The order's steps came in another order.",
    );
    expectThat((await deadLettersOf(broken.key)).length === 0, "Something of the order is still parked.");
    return `Order ${orderId} waited for its own dead letter only, and is “${order.status}” now.`;
  },
};
