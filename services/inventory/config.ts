import { commonSettings, Duration, Port, replicationSettings } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

const DAY_MS = 24 * 60 * 60 * 1000;

export const InventoryConfig = Type.Object({
  ...commonSettings,
  ...replicationSettings,
  INVENTORY_PORT: Port(8901, "the port of the inventory"),
  BACKORDER_PRIORITY: Duration("15m", {
    minimum: 0,
    maximum: DAY_MS,
    description:
      "for how long a day the waiting orders of one customer have priority: later orders may not overtake them",
  }),
  BACKORDER_PRIORITY_QUANTITY: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 100,
    description: "an order for more pieces than this waits without priority",
  }),
  MAX_WAITING_ORDERS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 1_000,
    description:
      "orders of one customer that may wait for stock; further ones that would have to wait are rejected",
  }),
});
