import { gatewayHandlers } from "@distributed-messaging/api-gateway/handlers";
import { migrations as gatewayMigrations } from "@distributed-messaging/api-gateway/migrations/index";
import { GatewayStore, projections } from "@distributed-messaging/api-gateway/store";
import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { changeProduct, inventoryHandlers } from "@distributed-messaging/inventory/handlers";
import { migrations as inventoryMigrations } from "@distributed-messaging/inventory/migrations/index";
import { InventoryStore } from "@distributed-messaging/inventory/store";
import { notificationHandlers } from "@distributed-messaging/notification/handlers";
import { migrations as notificationMigrations } from "@distributed-messaging/notification/migrations/index";
import { NotificationStore } from "@distributed-messaging/notification/store";
import { orderHandlers, orderTimers } from "@distributed-messaging/order/handlers";
import { migrations as orderMigrations } from "@distributed-messaging/order/migrations/index";
import { OrderStore } from "@distributed-messaging/order/store";
import { SigningKeys } from "@distributed-messaging/service/identity";
import type { ServiceDefinition } from "./process.ts";

/** A product as the inventory begins with it. */
export interface StockedProduct {
  readonly productId: string;
  readonly name: string;
  readonly price: { readonly amount: number; readonly currency: string };
  readonly onHand: number;
}

export interface GatewayParts {
  readonly store: GatewayStore;
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
    const store = new GatewayStore(database);
    const handlers = gatewayHandlers(store);
    return { parts: { store }, handlers, copies: { handlers, tables: projections } };
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
      const handlers = [
        ...orderHandlers(store, backorderTtlMs),
        new SigningKeys(database, SigningKeyPublished, tokenClaims).handler,
      ];
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
      const handlers = [
        ...inventoryHandlers(parts.store),
        new SigningKeys(database, SigningKeyPublished, tokenClaims).handler,
      ];
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
    return {
      parts,
      handlers: [...handlers, new SigningKeys(database, SigningKeyPublished, tokenClaims).handler],
      copies,
    };
  },
  started: () => Promise.resolve(),
};
