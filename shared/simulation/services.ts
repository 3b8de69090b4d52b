import { SigningKeyPublished } from "@distributed-messaging/contracts";
import { SigningKeys } from "@distributed-messaging/service/signing-keys";
import { Catalogue } from "../../services/api-gateway/catalogue.ts";
import { gatewayHandlers } from "../../services/api-gateway/handlers.ts";
import { migrations as gatewayMigrations } from "../../services/api-gateway/migrations/index.ts";
import { OrderViews } from "../../services/api-gateway/store.ts";
import { copies } from "../../services/api-gateway/tables.ts";
import { changeProduct, inventoryHandlers } from "../../services/inventory/handlers.ts";
import { migrations as inventoryMigrations } from "../../services/inventory/migrations/index.ts";
import { InventoryStore } from "../../services/inventory/store.ts";
import { notificationHandlers } from "../../services/notification/handlers.ts";
import { migrations as notificationMigrations } from "../../services/notification/migrations/index.ts";
import { NotificationStore } from "../../services/notification/store.ts";
import { orderHandlers, orderTimers } from "../../services/order/handlers.ts";
import { migrations as orderMigrations } from "../../services/order/migrations/index.ts";
import { OrderStore } from "../../services/order/store.ts";
import type { ServiceDefinition } from "./process.ts";

/** A product as the inventory begins with it. */
export interface StockedProduct {
  readonly productId: string;
  readonly name: string;
  readonly price: { readonly amount: number; readonly currency: string };
  readonly onHand: number;
}

export interface GatewayParts {
  readonly views: OrderViews;
  readonly catalogue: Catalogue;
}
export interface OrderParts {
  readonly store: OrderStore;
}
export interface InventoryParts {
  readonly store: InventoryStore;
}
export interface NotificationParts {
  readonly store: NotificationStore;
}

/**
 * The gateway publishes its signing key at every start. The key itself is made up: making a real one takes
 * chance and time that no seed controls, and nothing here checks tokens.
 */
export const gateway: ServiceDefinition<GatewayParts> = {
  name: "api-gateway",
  migrations: gatewayMigrations,
  build(database) {
    const parts = { views: new OrderViews(database), catalogue: new Catalogue(database) };
    const handlers = gatewayHandlers(parts.views, parts.catalogue);
    return { parts, handlers, copies: { handlers, tables: copies } };
  },
  started: ({ messaging }) =>
    messaging.unitOfWork.run((transaction) =>
      transaction.emit(SigningKeyPublished, {
        keyId: "gateway-key",
        publicKey: { kty: "OKP", crv: "Ed25519", x: "x".repeat(43) },
      }),
    ),
};

/** @param backorderTtlMs for how long an order may wait for stock */
export function order(backorderTtlMs: number): ServiceDefinition<OrderParts> {
  return {
    name: "order",
    migrations: orderMigrations,
    build(database) {
      const store = new OrderStore(database);
      const handlers = [...orderHandlers(store, backorderTtlMs), new SigningKeys(database).handler];
      return { parts: { store }, handlers, timers: orderTimers(store, backorderTtlMs) };
    },
    started: () => Promise.resolve(),
  };
}

/** @param products what it begins with: those that it does not have yet are added at each start */
export function inventory(products: readonly StockedProduct[]): ServiceDefinition<InventoryParts> {
  return {
    name: "inventory",
    migrations: inventoryMigrations,
    build(database) {
      const parts = { store: new InventoryStore(database) };
      const handlers = [...inventoryHandlers(parts.store), new SigningKeys(database).handler];
      return { parts, handlers };
    },
    started: ({ messaging, parts: { store } }) =>
      messaging.unitOfWork.run((transaction) => {
        const missing = products.filter(({ productId }) => store.product(productId) === undefined);
        for (const product of missing) changeProduct(store, { ...product, reserved: 0 }, transaction);
      }),
  };
}

export const notification: ServiceDefinition<NotificationParts> = {
  name: "notification",
  migrations: notificationMigrations,
  build(database) {
    const parts = { store: new NotificationStore(database) };
    const handlers = notificationHandlers(parts.store, () => {});
    const copies = { handlers, tables: ["notifications"] };
    return { parts, handlers: [...handlers, new SigningKeys(database).handler], copies };
  },
  started: () => Promise.resolve(),
};
