import { expect, test } from "bun:test";
import type { TopicState } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Movement } from "../reports.ts";
import { Traffic } from "./traffic.ts";

const topic = (
  latest: number,
  lags: Readonly<Record<string, number>>,
  name = "order.events",
): TopicState => ({
  name,
  partitions: [{ partition: 0, earliest: 0, latest }],
  groups: Object.entries(lags).map(([group, lag]) => ({ group, lag })),
});

test("a record of a service that is down is stored at once, and read when the service has handled it", async () => {
  let state = topic(5, { inventory: 0 });
  let failures = 0;
  const traffic = new Traffic({
    topics: async () => [state],
    read: async () => {
      if (failures-- > 0) throw new Error("the broker went away");
      return [];
    },
  });
  let { next } = await traffic.since(undefined);
  const untilMoved = async (expected: Partial<Movement>) => {
    let movements: readonly Movement[] = [];
    await eventually(async () => {
      const report = await traffic.since(next);
      next = report.next;
      movements = report.movements ?? [];
      return movements.length > 0;
    });
    expect(movements).toMatchObject([{ topic: "order.events", ...expected }]);
  };
  // What could not be read is reported later, and once.
  failures = 2;
  state = topic(7, { inventory: 2 });
  await untilMoved({ stored: 2, read: {} });
  // The notification service commits for the first time.
  state = topic(7, { inventory: 1, notification: 0 });
  await untilMoved({ stored: 0, read: { inventory: 1, notification: 7 } });
  state = topic(8, { inventory: 0, notification: 1 });
  await untilMoved({ stored: 1, read: { inventory: 2 } });
});

test("a topic that cannot be read does not keep the others from being reported", async () => {
  let state = [topic(5, {}), topic(5, {}, "inventory.events")];
  const traffic = new Traffic({
    topics: async () => state,
    read: async (ranges) => {
      if (ranges.some(({ topic }) => topic === "order.events")) throw new Error("a corrupt batch");
      return [];
    },
  });
  const { next } = await traffic.since(undefined);
  state = [topic(6, {}), topic(7, {}, "inventory.events")];
  await eventually(async () => {
    const { movements } = await traffic.since(next);
    return Bun.deepEquals(movements, [{ topic: "inventory.events", stored: 2, sample: [], read: {} }]);
  }, "the topic that can be read");
});
