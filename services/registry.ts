import { allTopics } from "@distributed-messaging/contracts/topics";
import { deadLetterTopic, type Topic } from "@distributed-messaging/messaging/contract";

/** How a service is found: the setting that gives its HTTP port, and its port when nothing is set. */
interface Registration {
  readonly setting: string;
  readonly port: number;
}

/**
 * Every service of the store, in the order in which they are shown. Everything that concerns all services reads this
 * list: `npm start`, the supervisor, compose.yaml, the topics, the tests.
 */
export const services = {
  "api-gateway": { setting: "API_GATEWAY_PORT", port: 8900 },
  inventory: { setting: "INVENTORY_PORT", port: 8901 },
  order: { setting: "ORDER_PORT", port: 8902 },
  notification: { setting: "NOTIFICATION_PORT", port: 8903 },
} as const satisfies Readonly<Record<string, Registration>>;

export type ServiceName = keyof typeof services;

// Sound: the keys of a constant are those that its type names.
export const serviceNames = Object.keys(services) as readonly ServiceName[];

/** Makes something for each service, by its name. */
export function forEachService<T>(make: (name: ServiceName) => T): Record<ServiceName, T> {
  // Sound: there is an entry for every name.
  return Object.fromEntries(serviceNames.map((name) => [name, make(name)])) as Record<ServiceName, T>;
}

/** Every topic of the store: those of its messages, and one of dead letters for each service. */
export const storeTopics: readonly Topic[] = [...allTopics, ...serviceNames.map(deadLetterTopic)];
