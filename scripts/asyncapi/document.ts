import { allMessages } from "@distributed-messaging/contracts";
import {
  type MessageDefinition,
  migrate,
  openDatabase,
  silentLogger,
} from "@distributed-messaging/messaging";
import { asyncApi } from "@distributed-messaging/messaging/asyncapi";
import { loadConfig } from "@distributed-messaging/service/config";
import {
  messageTopics,
  type ServiceName,
  serviceNames,
  services,
} from "@distributed-messaging/services/registry";

/** The path of the document, from the root of the repository. */
export const ASYNCAPI_FILE = "docs/asyncapi.json";

/** The AsyncAPI document of the registered services. */
export async function asyncApiText(): Promise<string> {
  const handled = await Promise.all(serviceNames.map(async (name) => [name, await handledBy(name)] as const));
  const document = asyncApi({
    title: "The messages of the store",
    version: "0.1.0",
    license: "MIT",
    servers: {
      local: {
        host: "localhost:9092",
        protocol: "kafka",
        description: "The broker that npm start runs; KAFKA_BROKERS names any other",
      },
    },
    topics: messageTopics,
    definitions: allMessages,
    receivers: Object.fromEntries(handled),
  });
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** The messages that a service handles. */
async function handledBy(name: ServiceName): Promise<MessageDefinition[]> {
  const { service } = await services[name].load();
  const database = openDatabase(":memory:");
  try {
    migrate(database, name, service.migrations);
    const { handlers } = service.compose(database, loadConfig(service.config, {}, name), silentLogger);
    return handlers.map(({ definition }) => definition);
  } finally {
    database.close();
  }
}
