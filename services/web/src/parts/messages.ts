/** What the page says about a kind of message. */
interface MessageWords {
  /** Its name in the code. */
  readonly name: string;
  readonly topic: string;
  readonly from: string;
  /** Who takes it, the one that the order's way goes on with first. */
  readonly to: readonly string[];
  /** What it says, in plain words. */
  readonly says: string;
}

function words(name: string, topic: string, from: string, to: readonly string[], says: string): MessageWords {
  return { name, topic, from, to, says };
}

const everybody = ["notification", "api-gateway"] as const;

/** By type. A test holds names and topics to the contracts. */
export const messageWords: Readonly<Record<string, MessageWords>> = {
  "store.order.place.v1": words(
    "PlaceOrder",
    "order.commands",
    "api-gateway",
    ["order"],
    "The gateway has the order on disk and asks for it to be carried out.",
  ),
  "store.order.placed.v1": words(
    "OrderPlaced",
    "order.events",
    "order",
    ["inventory", ...everybody],
    "The order service has taken it in.",
  ),
  "store.stock.restock.v1": words(
    "Restock",
    "inventory.commands",
    "api-gateway",
    ["inventory"],
    "More of a product has come in.",
  ),
  "store.stock.reserved.v1": words(
    "StockReserved",
    "inventory.events",
    "inventory",
    ["order", "api-gateway"],
    "Every line is set aside.",
  ),
  "store.stock.short.v1": words(
    "StockShort",
    "inventory.events",
    "inventory",
    ["order"],
    "Some of it is missing: it stands in line.",
  ),
  "store.stock.rejected.v1": words(
    "StockRejected",
    "inventory.events",
    "inventory",
    ["order"],
    "It names something that is not sold.",
  ),
  "store.stock.released.v1": words(
    "StockReleased",
    "inventory.events",
    "inventory",
    ["order"],
    "What was set aside is back on the shelf.",
  ),
  "store.order.backordered.v1": words(
    "OrderBackordered",
    "order.events",
    "order",
    everybody,
    "The order waits until there is enough.",
  ),
  "store.order.confirmed.v1": words(
    "OrderConfirmed",
    "order.events",
    "order",
    everybody,
    "Everything is set aside: confirmed.",
  ),
  "store.order.rejected.v1": words(
    "OrderRejected",
    "order.events",
    "order",
    everybody,
    "The order can never be served.",
  ),
  "store.order.cancel.v1": words(
    "CancelOrder",
    "order.commands",
    "api-gateway",
    ["order"],
    "Somebody asks for the order to be called off.",
  ),
  "store.order.cancelled.v1": words(
    "OrderCancelled",
    "order.events",
    "order",
    ["inventory", ...everybody],
    "The order is called off; what it held is free again.",
  ),
};

/** What is known of a type; for one that is not known, what the type itself tells. */
export function wordsOf(type: string, service: string): MessageWords {
  return messageWords[type] ?? words(type, "", service, [], "");
}
