import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import type { Movement } from "@distributed-messaging/supervisor/reports";

/** The description of a message type in a timeline. */
interface MessageDescription {
  /** The name in the contracts. */
  readonly name: string;
  readonly topic: string;
  readonly from: string;
  /** The receivers; the first one continues the order. */
  readonly to: readonly string[];
  readonly text: string;
}

function describe(
  name: string,
  topic: string,
  from: string,
  to: readonly string[],
  text: string,
): MessageDescription {
  return { name, topic, from, to, text };
}

const customerSide = ["notification", "api-gateway"] as const;

/** By message type. A test compares names and topics with the contracts. */
export const messageDescriptions: Readonly<Record<string, MessageDescription>> = {
  "store.order.place.v1": describe(
    "PlaceOrder",
    "order.commands",
    "api-gateway",
    ["order"],
    "The gateway has the order on disk and asks for it to be carried out.",
  ),
  "store.order.placed.v1": describe(
    "OrderPlaced",
    "order.events",
    "order",
    ["inventory", ...customerSide],
    "The order service has recorded the order.",
  ),
  "store.stock.restock.v1": describe(
    "Restock",
    "inventory.commands",
    "api-gateway",
    ["inventory"],
    "More of a product has come in.",
  ),
  "store.stock.reserved.v1": describe(
    "StockReserved",
    "inventory.events",
    "inventory",
    ["order", "api-gateway"],
    "Everything in the order is reserved.",
  ),
  "store.stock.short.v1": describe(
    "StockShort",
    "inventory.events",
    "inventory",
    ["order", "api-gateway"],
    "Some of it is missing: the order waits for it.",
  ),
  "store.stock.rejected.v1": describe(
    "StockRejected",
    "inventory.events",
    "inventory",
    ["order", "api-gateway"],
    "The inventory refuses it.",
  ),
  "store.stock.released.v1": describe(
    "StockReleased",
    "inventory.events",
    "inventory",
    ["order", "api-gateway"],
    "What was reserved is available again.",
  ),
  "store.order.backordered.v1": describe(
    "OrderBackordered",
    "order.events",
    "order",
    customerSide,
    "The order waits until there is enough.",
  ),
  "store.order.confirmed.v1": describe(
    "OrderConfirmed",
    "order.events",
    "order",
    customerSide,
    "Everything is reserved: confirmed.",
  ),
  "store.order.rejected.v1": describe(
    "OrderRejected",
    "order.events",
    "order",
    customerSide,
    "The order is refused: it ends here.",
  ),
  "store.order.cancel.v1": describe(
    "CancelOrder",
    "order.commands",
    "api-gateway",
    ["order"],
    "Somebody asks to cancel the order.",
  ),
  "store.order.cancelled.v1": describe(
    "OrderCancelled",
    "order.events",
    "order",
    ["inventory", ...customerSide],
    "The order is cancelled; anything reserved for it is free again.",
  ),
  "store.stock.changed.v1": describe(
    "StockChanged",
    "inventory.stock",
    "inventory",
    ["api-gateway"],
    "The available quantity of a product is another one.",
  ),
  "store.signing-key.published.v1": describe(
    "SigningKeyPublished",
    "api-gateway.keys",
    "api-gateway",
    ["order", "inventory", "notification"],
    "The gateway signs with another key.",
  ),
};

/** The services of these messages, in the order in which an order reaches them. */
export const services: readonly string[] = [
  ...new Set(Object.values(messageDescriptions).flatMap(({ from, to }) => [from, ...to])),
];

/** The description of a type. An unknown type is described by the type and its sender. */
export function describeMessage(type: string, sender: string): MessageDescription {
  return messageDescriptions[type] ?? describe(escapeInvisible(type), "", escapeInvisible(sender), [], "");
}

/** The last message that moved; undefined where only other records did, such as those of the services' owners. */
export function lastMessage(
  movements: readonly Movement[],
): { readonly type: string; readonly sender: string } | undefined {
  return movements
    .flatMap(({ sample }) => sample)
    .sort((one, other) => one.at - other.at)
    .flatMap(({ type, sender }) => (type === null || sender === null ? [] : [{ type, sender }]))
    .at(-1);
}
