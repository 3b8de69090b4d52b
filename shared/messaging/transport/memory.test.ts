import { expect, test } from "bun:test";
import { systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { letters } from "../testing/kit.ts";
import { MemoryBroker } from "./memory.ts";
import type { Batch } from "./transport.ts";

const topic = { ...letters, partitions: 1 };
const publish = (broker: MemoryBroker, ...values: string[]) =>
  broker.publish(values.map((value) => ({ topic: topic.name, key: "a", value, headers: {} })));

test("a reader that cannot say where it starts after a loss fails no publish, and is asked again", async () => {
  const broker = new MemoryBroker([topic], systemRuntime);
  let asked = 0;
  const read: string[] = [];
  const subscription = broker.subscribe({
    group: "g",
    topics: [topic.name],
    startAt: () => {
      if (read.length === 2 && asked++ === 0) throw new Error("the disk fails");
      return undefined;
    },
    handle: async ({ records }: Batch) => {
      for (const { value } of records) read.push(String(value));
      return { next: (records.at(-1)?.offset ?? -1) + 1 };
    },
  });
  await publish(broker, "1", "2");
  await eventually(() => read.length === 2);
  broker.partition(topic.name, 0).truncate(0);
  await publish(broker, "3");
  await eventually(() => read.length === 3);
  expect(asked).toBe(2);
  await subscription.stop();
});

test("the last record is read again at its offset, also after retention removed what was before it", async () => {
  const broker = new MemoryBroker([topic], systemRuntime);
  await publish(broker, "1", "2", "3");
  broker.partition(topic.name, 0).trim(1);
  const offsets: number[] = [];
  const subscription = broker.subscribe({
    group: "g",
    topics: [topic.name],
    startAt: () => 2,
    rereadsLast: true,
    handle: async ({ records }) => {
      offsets.push(...records.map(({ offset }) => offset));
      return { next: 3 };
    },
  });
  await eventually(() => offsets.length > 0);
  expect(offsets).toEqual([2]);
  await subscription.stop();
});
