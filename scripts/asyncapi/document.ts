import { gatewayHandlers } from "@distributed-messaging/api-gateway/handlers";
import { migrations as gatewayMigrations } from "@distributed-messaging/api-gateway/migrations/index";
import { GatewayStore } from "@distributed-messaging/api-gateway/store";
import { allMessages, SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { inventoryHandlers } from "@distributed-messaging/inventory/handlers";
import { migrations as inventoryMigrations } from "@distributed-messaging/inventory/migrations/index";
import { InventoryStore } from "@distributed-messaging/inventory/store";
import {
  type Handler,
  type MessageDefinition,
  type Migration,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import { type AsyncApiOptions, asyncApi } from "@distributed-messaging/messaging/asyncapi";
import { notificationHandlers } from "@distributed-messaging/notification/handlers";
import { migrations as notificationMigrations } from "@distributed-messaging/notification/migrations/index";
import { NotificationStore } from "@distributed-messaging/notification/store";
import { orderHandlers } from "@distributed-messaging/order/handlers";
import { migrations as orderMigrations } from "@distributed-messaging/order/migrations/index";
import { OrderStore } from "@distributed-messaging/order/store";
import { SigningKeys } from "@distributed-messaging/service/identity";
import { storeTopics } from "@distributed-messaging/services/registry";

/** Where the document is kept, from the root of the project. */
export const ASYNCAPI_FILE = "docs/asyncapi.json";

/** The store's AsyncAPI document as it should be. */
export function asyncApiText(): string {
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
    topics: storeTopics,
    definitions: allMessages,
    receivers: receivers(),
  });
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** What each service takes: asked of its own handlers, on a database that is gone afterwards. */
function receivers(): AsyncApiOptions["receivers"] {
  return {
    "api-gateway": taken(gatewayMigrations, (database) => gatewayHandlers(new GatewayStore(database))),
    order: taken(orderMigrations, (database) => [
      ...orderHandlers(new OrderStore(database)),
      new SigningKeys(database, SigningKeyPublished, tokenClaims).handler,
    ]),
    inventory: taken(inventoryMigrations, (database) => [
      ...inventoryHandlers(new InventoryStore(database)),
      new SigningKeys(database, SigningKeyPublished, tokenClaims).handler,
    ]),
    notification: taken(notificationMigrations, (database) => [
      ...notificationHandlers(new NotificationStore(database), () => {}),
      new SigningKeys(database, SigningKeyPublished, tokenClaims).handler,
    ]),
  };
}

function taken(
  migrations: readonly Migration[],
  handlersOn: (database: ServiceDatabase) => readonly Handler[],
): readonly MessageDefinition[] {
  const database = openDatabase(":memory:");
  try {
    migrate(database, "service", migrations);
    return handlersOn(database).map(({ definition }) => definition);
  } finally {
    database.close();
  }
}
