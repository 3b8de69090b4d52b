import type { Topic } from "@distributed-messaging/messaging";

/*
 * Every topic of the store, and the one place that says how it is kept. The broker is provisioned from this list; a
 * topic that is not here does not exist.
 */

const DAY_MS = 24 * 60 * 60 * 1000;

/** Enough for several consumers a group, few enough that a quiet topic does not cost a round trip each. */
const PARTITIONS = 4;

const commandConfig = { "cleanup.policy": "delete", "retention.ms": String(7 * DAY_MS) };
/** Events are kept for good: the read models are rebuilt from them. */
const eventConfig = { "cleanup.policy": "delete", "retention.ms": "-1" };
const stateConfig = { "cleanup.policy": "compact" };

function topic(name: string, key: string, config: Record<string, string>, partitions = PARTITIONS): Topic {
  return { name, key, partitions, config };
}

/** Copies of what could not be handled: looked at, never consumed. The originals are in the service's database. */
const deadLetterConfig = { "cleanup.policy": "delete", "retention.ms": String(30 * DAY_MS) };

/** Where a service puts copies of its dead letters. */
export function deadLetterTopic(service: string): string {
  return `${service}.dead-letters`;
}

export const topics = {
  orderCommands: topic("order.commands", "orderId", commandConfig),
  orderEvents: topic("order.events", "orderId", eventConfig),
  inventoryCommands: topic("inventory.commands", "productId", commandConfig),
  inventoryEvents: topic("inventory.events", "orderId", eventConfig),
  inventoryStock: topic("inventory.stock", "productId", stateConfig),
  gatewayKeys: topic("api-gateway.keys", "keyId", stateConfig, 1),
} as const satisfies Record<string, Topic>;

/** Every service that takes messages. */
export const services = ["api-gateway", "order", "inventory", "notification"] as const;

export const allTopics: readonly Topic[] = [
  ...Object.values(topics),
  ...services.map((service) => topic(deadLetterTopic(service), "as it came", deadLetterConfig, 1)),
];
