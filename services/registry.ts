import { allTopics } from "@distributed-messaging/contracts/topics";
import {
  changesTopic,
  deadLetterTopic,
  ownerTopic,
  type Topic,
} from "@distributed-messaging/messaging/contract";
import type { Composition } from "@distributed-messaging/service/composition";

interface Registration {
  /** The setting that gives the HTTP port. */
  readonly setting: string;
  /** The HTTP port when the setting is not set. */
  readonly port: number;
  /** Whether it may run as several instances, of which one leads: it has the setting REPLICATION. */
  readonly replicable?: true;
  /** Whether several instances of it may work at the same time: it has the setting INSTANCE. */
  readonly activeActive?: true;
  /** Loaded on demand: most readers of this list need no more than the names and the ports. */
  load(): Promise<{ readonly service: Composition }>;
}

/**
 * Every service of the store, in the order in which they are shown. This is the only list: `npm start`, the
 * supervisor, the topics, the AsyncAPI document, the containers, the simulation and the tests read it.
 */
const registered = {
  "api-gateway": {
    setting: "API_GATEWAY_PORT",
    port: 8900,
    activeActive: true,
    load: () => import("./api-gateway/service.ts"),
  },
  inventory: {
    setting: "INVENTORY_PORT",
    port: 8901,
    replicable: true,
    load: () => import("./inventory/service.ts"),
  },
  order: {
    setting: "ORDER_PORT",
    port: 8902,
    replicable: true,
    load: () => import("./order/service.ts"),
  },
  notification: {
    setting: "NOTIFICATION_PORT",
    port: 8903,
    activeActive: true,
    load: () => import("./notification/service.ts"),
  },
} as const satisfies Readonly<Record<string, Registration>>;

export type ServiceName = keyof typeof registered;
export const services: Readonly<Record<ServiceName, Registration>> = registered;

// Sound: the keys of a constant are those that its type names.
export const serviceNames = Object.keys(registered) as readonly ServiceName[];

/** Makes something for each service, by its name. */
export function forEachService<T>(make: (name: ServiceName) => T): Record<ServiceName, T> {
  // Sound: there is an entry for every name.
  return Object.fromEntries(serviceNames.map((name) => [name, make(name)])) as Record<ServiceName, T>;
}

/** Every topic of messages: those of `allTopics`, and one of dead letters for each service. */
export const messageTopics: readonly Topic[] = [...allTopics, ...serviceNames.map(deadLetterTopic)];

/** Every topic of the store: of messages, and of the owner of each service. */
export const storeTopics: readonly Topic[] = [...messageTopics, ...serviceNames.map(ownerTopic)];

/** The services of which several instances may work at the same time. */
export const activeActiveServices = serviceNames.filter((name) => services[name].activeActive === true);

/** The services that may run as several instances, of which one leads. */
export const replicableServices = serviceNames.filter((name) => services[name].replicable === true);

/** Their change logs. */
export const changeLogTopics: readonly Topic[] = replicableServices.map(changesTopic);
