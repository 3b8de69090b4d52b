import type { Topic } from "@distributed-messaging/messaging/contract";

/*
 * The topics on which the services send messages, with their configuration. Beside these there is one topic of dead
 * letters for each service: `storeTopics` in services/registry.ts has both.
 */

const DAY_MS = 24 * 60 * 60 * 1000;

/** Enough for several consumers in a group; few enough that quiet partitions do not slow a fetch down. */
const PARTITIONS = 4;

const commandConfig = { "cleanup.policy": "delete", "retention.ms": String(7 * DAY_MS) };
/** Events are kept forever: the projections are rebuilt from them. */
const eventConfig = { "cleanup.policy": "delete", "retention.ms": "-1" };
/** The segment that is written is not compacted: smaller ones than by default keep what is stored close to the last states. */
const stateConfig = { "cleanup.policy": "compact", "segment.bytes": String(8 * 1024 * 1024) };

function topic(name: string, key: string, config: Record<string, string>, partitions = PARTITIONS): Topic {
  return { name, key, partitions, config };
}

export const topics = {
  orderCommands: topic("order.commands", "orderId", commandConfig),
  orderEvents: topic("order.events", "orderId", eventConfig),
  inventoryCommands: topic("inventory.commands", "productId", commandConfig),
  inventoryEvents: topic("inventory.events", "orderId", eventConfig),
  inventoryStock: topic("inventory.stock", "productId", stateConfig),
  gatewayKeys: topic("api-gateway.keys", "keyId", stateConfig, 1),
} as const satisfies Record<string, Topic>;

export const allTopics: readonly Topic[] = Object.values(topics);
