import type { MessageDefinition } from "@distributed-messaging/messaging/contract";
import { gatewayMessages } from "./gateway.ts";
import { inventoryMessages } from "./inventory.ts";
import { orderMessages } from "./orders.ts";

/** Every message between the services. */
export const allMessages: readonly MessageDefinition[] = [
  ...orderMessages,
  ...inventoryMessages,
  ...gatewayMessages,
];
