import { allMessages, type MessageDefinition } from "@distributed-messaging/contracts";
import { asyncApi, type Receivers } from "@distributed-messaging/contracts/asyncapi";
import {
  type Handler,
  type Migration,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import { SigningKeys } from "@distributed-messaging/service/signing-keys";
import { Catalogue } from "../services/api-gateway/catalogue.ts";
import { gatewayHandlers } from "../services/api-gateway/handlers.ts";
import { migrations as gatewayMigrations } from "../services/api-gateway/migrations/index.ts";
import { OrderViews } from "../services/api-gateway/store.ts";
import { inventoryHandlers } from "../services/inventory/handlers.ts";
import { migrations as inventoryMigrations } from "../services/inventory/migrations/index.ts";
import { InventoryStore } from "../services/inventory/store.ts";
import { notificationHandlers } from "../services/notification/handlers.ts";
import { migrations as notificationMigrations } from "../services/notification/migrations/index.ts";
import { NotificationStore } from "../services/notification/store.ts";
import { orderHandlers } from "../services/order/handlers.ts";
import { migrations as orderMigrations } from "../services/order/migrations/index.ts";
import { OrderStore } from "../services/order/store.ts";

/** Where the document is kept, from the root of the project. */
export const ASYNCAPI_FILE = "docs/asyncapi.json";

/** The store's AsyncAPI document as it should be. */
export function asyncApiText(): string {
  return `${JSON.stringify(asyncApi(allMessages, receivers()), null, 2)}\n`;
}

/** What each service takes: asked of its own handlers, on a database that is gone afterwards. */
function receivers(): Receivers {
  return {
    "api-gateway": taken(gatewayMigrations, (database) =>
      gatewayHandlers(new OrderViews(database), new Catalogue(database)),
    ),
    order: taken(orderMigrations, (database) => [
      ...orderHandlers(new OrderStore(database)),
      new SigningKeys(database).handler,
    ]),
    inventory: taken(inventoryMigrations, (database) => [
      ...inventoryHandlers(new InventoryStore(database)),
      new SigningKeys(database).handler,
    ]),
    notification: taken(notificationMigrations, (database) => [
      ...notificationHandlers(new NotificationStore(database), () => {}),
      new SigningKeys(database).handler,
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
