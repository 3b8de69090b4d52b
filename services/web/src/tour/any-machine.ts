import { fetchFigures } from "../api/supervisor.ts";
import { isOneOfSeveral } from "../state/processes.ts";
import type { Scenario } from "./scenario.ts";
import { code, tests } from "./sources.ts";
import type { Step } from "./step.ts";
import type { TourPromise } from "./tour.ts";

const SERVICE = "order";
const WITHOUT_LEADER = 3;

const placeFirst: Step = {
  text: "Place an order and see it through",
  look: "One of two instances of the order service leads; what it commits goes to the other through the change log.",
  parts: [SERVICE],
  code: code.decideOrder,
  test: tests.machine,
};
const destroy: Step = {
  text: "Destroy the machine that leads: its process and its disk",
  look: "The instance has crashed, and its database is gone.",
  parts: [SERVICE, `${SERVICE}-2`],
  code: code.destroy,
  test: tests.machine,
};
const placeMore: Step = {
  text: `Place ${WITHOUT_LEADER} orders: accepted`,
  look: "Until another instance leads, their messages wait at the broker.",
  parts: ["api-gateway", "broker"],
  code: code.acceptOrder,
  test: tests.machine,
};
const takeOver: Step = {
  text: "Another instance leads, and every order goes on to its end",
  look: "It has everything that the change log has. It claims when the log was silent for five seconds.",
  parts: [SERVICE, `${SERVICE}-2`],
  code: code.claim,
  test: tests.machine,
};
const rebuilt: Step = {
  text: "The machine comes back with an empty disk, and is built anew",
  look: "It begins with the newest snapshot, if there is one, and applies the rest of the change log: it is not behind.",
  parts: [SERVICE, `${SERVICE}-2`],
  code: code.apply,
  test: tests.machine,
};

/** Whether the store runs with several instances, without which there is no other machine. */
export function hasSeveralMachines(): boolean {
  return isOneOfSeveral(SERVICE);
}

export const anyMachineMayBeLost: TourPromise = {
  number: 7,
  title: "Any machine may be lost.",
  text: "With several instances, a process and its disk can be destroyed: nothing that the broker has is lost, nothing happens twice, and another instance goes on by itself.",
  button: "Destroy a machine",
  test: tests.machine,
  steps: [placeFirst, destroy, placeMore, takeOver, rebuilt],
  async demonstrate(scenario) {
    const { step } = scenario;
    const line = await scenario.plentifulLine();
    const placed: string[] = [];
    const place = async () => void placed.push(await scenario.place([line]));
    await step(placeFirst, async () => {
      await place();
      for (const orderId of placed) await scenario.untilStatus(orderId, "confirmed", "backordered");
    });
    const lost = await step(destroy, async () => {
      const leader = await leaderOf(scenario);
      await scenario.act("destroy", leader);
      return leader;
    });
    await step(placeMore, async () => {
      for (let count = 0; count < WITHOUT_LEADER; count++) await place();
    });
    const leader = await step(takeOver, async () => {
      for (const orderId of placed) await scenario.untilStatus(orderId, "confirmed", "backordered");
      return leaderOf(scenario);
    });
    await step(rebuilt, () =>
      scenario.until(`${lost} to be built anew`, async () => {
        const instance = (await instances()).find(({ name }) => name === lost);
        return instance !== undefined && instance.leads !== null && instance.behind === 0;
      }),
    );
    return `${lost} was destroyed with its database, and ${leader} went on: all ${placed.length} orders are there, each once.`;
  },
};

async function instances() {
  const { services } = await fetchFigures();
  return services.find(({ name }) => name === SERVICE)?.instances ?? [];
}

function leaderOf(scenario: Scenario): Promise<string> {
  return scenario.until(
    "an instance to lead",
    async () => (await instances()).find(({ leads }) => leads === true)?.name,
  );
}
