import { service as gatewayService } from "@distributed-messaging/api-gateway/service";
import type { QueuePolicy } from "@distributed-messaging/inventory/domain";
import { changeProduct } from "@distributed-messaging/inventory/handlers";
import { service as inventoryService } from "@distributed-messaging/inventory/service";
import { service as notificationService } from "@distributed-messaging/notification/service";
import { service as orderService } from "@distributed-messaging/order/service";
import type { PartsOf } from "@distributed-messaging/service/composition";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import type { ServiceDefinition } from "./simulated-service.ts";

/** A product in the inventory's initial stock. */
export interface StockedProduct {
  readonly productId: string;
  readonly name: string;
  readonly price: { readonly amount: number; readonly currency: string };
  readonly onHand: number;
}

export type GatewayParts = PartsOf<typeof gatewayService>;
export type OrderParts = PartsOf<typeof orderService>;
export type InventoryParts = PartsOf<typeof inventoryService>;
export type NotificationParts = PartsOf<typeof notificationService>;

/** A new key takes randomness that no seed controls: this is the one of RFC 8037, appendix A, under its thumbprint. */
const publicJwk = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" } as const;
const signingKey = {
  keyId: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
  publicJwk,
  privateJwk: { ...publicJwk, d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" },
};

export const gateway: ServiceDefinition<GatewayParts> = {
  composition: gatewayService,
  started: ({ parts: { sessions }, messaging }) =>
    sessions.publishKey(messaging.unitOfWork, () => Promise.resolve(signingKey)),
};

/** @param backorderTtlMs how long an order may wait for stock */
export function order(backorderTtlMs: number): ServiceDefinition<OrderParts> {
  return { composition: orderService, env: { BACKORDER_TTL: `${backorderTtlMs}ms` } };
}

/** @param products the initial stock: each start adds the products that are missing */
export function inventory(
  products: readonly StockedProduct[],
  { priorityMs, priorityQuantity, maxWaiting }: QueuePolicy,
): ServiceDefinition<InventoryParts> {
  return {
    composition: inventoryService,
    env: {
      BACKORDER_PRIORITY: `${priorityMs}ms`,
      BACKORDER_PRIORITY_QUANTITY: String(priorityQuantity),
      MAX_WAITING_ORDERS: String(maxWaiting),
    },
    started: ({ parts: { store }, messaging }) =>
      messaging.unitOfWork.run((transaction) => {
        const missing = products.filter(({ productId }) => store.product(productId) === undefined);
        for (const product of missing) changeProduct(store, { ...product, reserved: 0 }, transaction);
      }),
  };
}

export const notification: ServiceDefinition<NotificationParts> = { composition: notificationService };

const known = [gatewayService, orderService, inventoryService, notificationService].map(({ name }) => name);

/** The other registered services, with their default settings. */
export const others: readonly ServiceDefinition<unknown>[] = await Promise.all(
  serviceNames
    .filter((name) => !known.includes(name))
    .map(async (name) => ({ composition: (await services[name].load()).service })),
);
