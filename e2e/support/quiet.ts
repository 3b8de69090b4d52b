import { expect } from "bun:test";
import { topicPartition } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import type { OwnStore } from "./own-store.ts";

/**
 * Waits until nothing is on its way any more: whatever was emitted has been sent, and whatever was sent has been
 * read by all who read it. What has not happened by then never will.
 */
export async function untilQuiet(store: OwnStore): Promise<void> {
  await eventually(async () => {
    const before = emitted(store);
    for (const name of serviceNames)
      expect({ name, unsent: unsent(store, name) }).toEqual({ name, unsent: 0 });
    for (const name of serviceNames) {
      const topics = await store.records.readBy(name);
      expect({ name, topics }).not.toEqual({ name, topics: [] });
      const ends = await Promise.all(topics.map((topic) => store.records.ends(topic)));
      expect(positions(store, name)).toMatchObject(Object.assign({}, ...ends));
    }
    // Everything that was emitted has been read, and reading it made nobody emit anything more.
    return Bun.deepEquals(emitted(store), before);
  }, "the store to come to rest");
}

function emitted(store: OwnStore): number[] {
  return serviceNames.map((name) => store.emitted(name));
}

function unsent(store: OwnStore, name: ServiceName): number {
  return store.rows<{ count: number }>(name, "SELECT count(*) AS count FROM outbox")[0]?.count ?? 0;
}

/** How far a service has read each partition that has anything in it: `topic/partition` → the next offset. */
function positions(store: OwnStore, name: ServiceName): Record<string, number> {
  const rows = store.rows<{ topic: string; partition: number; next_offset: number }>(
    name,
    "SELECT topic, partition, next_offset FROM consumer_offsets",
  );
  return Object.fromEntries(
    rows.map(({ topic, partition, next_offset }) => [topicPartition(topic, partition), next_offset]),
  );
}
