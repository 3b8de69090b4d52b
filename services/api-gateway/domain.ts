import {
  CancelOrder,
  type Line,
  MAX_STOCK,
  type Money,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  orderIdOf,
  PlaceOrder,
  type PricedLine,
  Restock,
  type Shortage,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { type Emission, emission } from "@distributed-messaging/messaging";
import { type FieldError, ServiceError } from "@distributed-messaging/service/errors";

/** What never changes about an order. */
export interface PlacedOrder {
  /** Under which it travels; `orderNameOf` gives the customer's own name for it. */
  readonly orderId: string;
  readonly customerId: string;
  readonly items: readonly PricedLine[];
  readonly total: Money;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
}

export type Status = "accepted" | "pending" | "backordered" | "confirmed" | "rejected" | "cancelled";

/** A message about an order: what it says that is shown, and which message caused it. */
export type HistoryEntry = {
  /** The message's own id, and the id of what caused it. */
  readonly id: string;
  readonly cause: string;
  /** When it was emitted, in milliseconds since the epoch, by the clock of the service that emitted it. */
  readonly at: number;
  readonly service: string;
} & (
  | {
      readonly type:
        | typeof PlaceOrder.type
        | typeof CancelOrder.type
        | typeof OrderPlaced.type
        | typeof OrderConfirmed.type
        | typeof StockReserved.type
        | typeof StockRejected.type
        | typeof StockReleased.type;
    }
  | { readonly type: typeof StockShort.type; readonly revision: number }
  | {
      readonly type: typeof OrderBackordered.type;
      readonly shortages: readonly Shortage[];
      readonly revision: number;
    }
  | { readonly type: typeof OrderRejected.type | typeof OrderCancelled.type; readonly reason: string }
);

/** An order as its customer sees it. */
export interface OrderView extends PlacedOrder {
  readonly status: Status;
  /** The time of the latest entry. */
  readonly updatedAt: number;
  /** Of a backordered order. */
  readonly shortages?: readonly Shortage[];
  /** Of a rejected or cancelled order. */
  readonly reason?: string;
  /** In causal order. */
  readonly history: readonly HistoryEntry[];
}

/** An order only moves to a status with a higher number, so the highest status among its entries is the latest. */
const PROGRESS: Readonly<Record<Status, number>> = {
  accepted: 0,
  pending: 1,
  backordered: 2,
  confirmed: 3,
  rejected: 3,
  cancelled: 4,
};

/**
 * The view of an order. It depends only on the set of entries: neither on the order in which they were applied nor on
 * how often. Further entries never lead back to an earlier status.
 */
export function viewOf(order: PlacedOrder, entries: readonly HistoryEntry[]): OrderView {
  let status: Status = "accepted";
  let last: HistoryEntry | undefined;
  let updatedAt = order.placedAt;
  for (const entry of entries) {
    updatedAt = Math.max(updatedAt, entry.at);
    const next = statusAfter(entry);
    if (next === undefined || PROGRESS[next] < PROGRESS[status]) continue;
    // The shortages of a backordered order may change several times.
    if (next === status && revisionOf(entry) < revisionOf(last)) continue;
    status = next;
    last = entry;
  }
  return { ...order, status, updatedAt, ...detailsOf(last), history: inCausalOrder(entries) };
}

/** The status that an entry reports; undefined for the messages of a service that does not decide on orders. */
export function statusAfter({ type }: Pick<HistoryEntry, "type">): Status | undefined {
  switch (type) {
    case PlaceOrder.type:
      return "accepted";
    case OrderPlaced.type:
      return "pending";
    case OrderBackordered.type:
      return "backordered";
    case OrderConfirmed.type:
      return "confirmed";
    case OrderRejected.type:
      return "rejected";
    case OrderCancelled.type:
      return "cancelled";
    case CancelOrder.type:
    case StockReserved.type:
    case StockShort.type:
    case StockRejected.type:
    case StockReleased.type:
      return undefined;
    default:
      return type satisfies never;
  }
}

function detailsOf(entry: HistoryEntry | undefined): Pick<OrderView, "shortages" | "reason"> {
  if (entry === undefined) return {};
  if ("shortages" in entry) return { shortages: entry.shortages };
  return "reason" in entry ? { reason: entry.reason } : {};
}

/** The revision of an entry whose type may occur more than once in a history; 0 for all others. */
function revisionOf(entry: HistoryEntry | undefined): number {
  return entry !== undefined && "revision" in entry ? entry.revision : 0;
}

/**
 * Each entry after the one that caused it, those of one service in the order in which an order passes through it, and
 * entries that are not related by time. Clocks may disagree or be set back; only the last of the three depends on them.
 */
function inCausalOrder(entries: readonly HistoryEntry[]): HistoryEntry[] {
  const queues = Map.groupBy(entries.toSorted(asInOneService), ({ service }) => service);
  const left = new Set(entries.map(({ id }) => id));
  const ordered: HistoryEntry[] = [];
  while (left.size > 0) {
    const heads = [...queues.values()].flatMap(([head]) => head ?? []);
    const free = heads.filter(({ id, cause }) => cause === id || !left.has(cause));
    // A cycle of causes is invalid, but its entries are still shown.
    const next = earliest(free) ?? earliest(heads);
    if (next === undefined) break;
    queues.get(next.service)?.shift();
    left.delete(next.id);
    ordered.push(next);
  }
  return ordered;
}

/** The position of each type among the messages of its service about one order. No order has two of one position. */
const POSITION: Readonly<Record<HistoryEntry["type"], number>> = {
  [PlaceOrder.type]: 0,
  [CancelOrder.type]: 1,
  [OrderPlaced.type]: 0,
  [OrderBackordered.type]: 1,
  [OrderConfirmed.type]: 2,
  [OrderRejected.type]: 2,
  [OrderCancelled.type]: 3,
  [StockShort.type]: 0,
  [StockReserved.type]: 1,
  [StockRejected.type]: 1,
  [StockReleased.type]: 2,
};

function asInOneService(one: HistoryEntry, other: HistoryEntry): number {
  return POSITION[one.type] - POSITION[other.type] || revisionOf(one) - revisionOf(other) || byId(one, other);
}

function earliest(entries: readonly HistoryEntry[]): HistoryEntry | undefined {
  return entries.toSorted((one, other) => one.at - other.at || byId(one, other))[0];
}

function byId(one: HistoryEntry, other: HistoryEntry): number {
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}

/** A product as the catalogue shows it. */
export interface CatalogueEntry {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

/** A request that changes something. */
export type ClientRequest = {
  readonly customerId: string;
  /** The client's `Idempotency-Key`, if it sent one. */
  readonly key: string | undefined;
} & (
  | {
      readonly operation: "place-order";
      /** The customer's own name for the order, if the client chose one. */
      readonly name: string | undefined;
      readonly items: readonly Line[];
    }
  | { readonly operation: "cancel-order"; readonly name: string }
  | { readonly operation: "restock"; readonly productId: string; readonly quantity: number }
);
type RequestTo<Operation> = Extract<ClientRequest, { readonly operation: Operation }>;

/** A request that was accepted, as it is stored under its key. */
export interface AcceptedRequest {
  readonly operation: ClientRequest["operation"];
  /** What was requested: see `contentOf`. */
  readonly content: string;
  /** The customer's name for the order, or the id of the restock. */
  readonly target: string;
  /** The status of the order when its cancellation was accepted. */
  readonly status: Status | undefined;
}

/** What the decision on a request depends on. */
export interface RequestState {
  /** The request that was accepted under the same key before. */
  readonly earlier: AcceptedRequest | undefined;
  /** The customer's order that the request names. */
  readonly order: OrderView | undefined;
  /** Whether it was deleted, because it had been final for long. @defaultValue false */
  readonly wasDeleted?: boolean;
  /** Those of the named products that are sold. */
  readonly products: ReadonlyMap<string, CatalogueEntry>;
}

export interface Decision extends AcceptedRequest {
  /** Whether the request was accepted before; then nothing happens this time. */
  readonly replayed: boolean;
  /** The order that the gateway accepts. */
  readonly placed?: PlacedOrder;
  readonly messages: readonly Emission[];
}

export interface Moment {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** A name for an order whose client chose none, or the id of a restock. */
  readonly newId: string;
}

/**
 * Decides on a client's request.
 *
 * @throws ServiceError invalid: key-conflict, order-conflict, invalid-input; not-found: order-not-found,
 *   product-not-found; conflict: order-final, order-deleted
 */
export function decide(request: ClientRequest, state: RequestState, moment: Moment): Decision {
  if (state.earlier !== undefined) return replay(request, state.earlier);
  switch (request.operation) {
    case "place-order":
      return placeOrder(request, state, moment);
    case "cancel-order":
      return cancelOrder(request, state);
    case "restock":
      return restock(request, state, moment);
    default:
      return request satisfies never;
  }
}

/** What is requested, as a text that is the same for the same request. */
export function contentOf(request: ClientRequest): string {
  switch (request.operation) {
    case "place-order":
      return linesText(request.items);
    case "cancel-order":
      return request.name;
    case "restock":
      return `${request.productId}:${request.quantity}`;
    default:
      return request satisfies never;
  }
}

/** The order of the lines does not matter. */
function linesText(lines: readonly Line[]): string {
  return lines
    .map(({ productId, quantity }) => `${productId}:${quantity}`)
    .sort()
    .join(",");
}

function replay(request: ClientRequest, earlier: AcceptedRequest): Decision {
  const isSame = earlier.operation === request.operation && earlier.content === contentOf(request);
  const namesAnother =
    request.operation === "place-order" && request.name !== undefined && request.name !== earlier.target;
  if (!isSame || namesAnother) throw keyConflict();
  return { ...earlier, replayed: true, messages: [] };
}

function keyConflict(): ServiceError {
  return new ServiceError(
    "invalid",
    "key-conflict",
    "This Idempotency-Key came with another request before.",
  );
}

function placeOrder(request: RequestTo<"place-order">, state: RequestState, moment: Moment): Decision {
  const { operation, customerId, items, name = moment.newId } = request;
  const content = contentOf(request);
  const accepted = { operation, content, target: name, status: undefined };
  if (state.order !== undefined) {
    if (linesText(state.order.items) === content) return { ...accepted, replayed: true, messages: [] };
    // Another gateway has accepted the key.
    if (request.name === undefined) throw keyConflict();
    throw new ServiceError(
      "invalid",
      "order-conflict",
      "You have an order with this orderId and other content.",
      {
        errors: [{ path: "/orderId", message: "is taken" }],
      },
    );
  }
  if (state.wasDeleted === true) {
    throw new ServiceError(
      "conflict",
      "order-deleted",
      `You had an order ${name}, which was deleted after its time. A new order needs another orderId, or another Idempotency-Key.`,
    );
  }
  const priced = price(items, state.products);
  if ("errors" in priced) {
    throw new ServiceError("invalid", "invalid-input", "The order cannot be placed as it is.", {
      errors: priced.errors,
    });
  }
  const orderId = orderIdOf(customerId, name);
  const order = { orderId, customerId, items: [...priced.items], total: priced.total };
  return {
    ...accepted,
    replayed: false,
    placed: { ...order, placedAt: moment.now },
    messages: [emission(PlaceOrder, order)],
  };
}

/** A customer's lines with their prices, or the error of each line that has one. */
type Pricing =
  | { readonly items: readonly PricedLine[]; readonly total: Money }
  | { readonly errors: readonly FieldError[] };

/** A customer never sends a price: the order keeps the prices that it gets here. */
function price(lines: readonly Line[], products: RequestState["products"]): Pricing {
  const errors: FieldError[] = [];
  const items: PricedLine[] = [];
  const seen = new Set<string>();
  for (const [index, { productId, quantity }] of lines.entries()) {
    const path = `/items/${index}/productId`;
    const unitPrice = products.get(productId)?.price;
    if (seen.has(productId)) errors.push({ path, message: "is in the order more than once" });
    else if (unitPrice === undefined) errors.push({ path, message: "is not a product of this store" });
    else if (unitPrice.currency !== (items[0]?.unitPrice ?? unitPrice).currency) {
      errors.push({ path, message: "is sold in another currency than the lines before it" });
    } else items.push({ productId, quantity, unitPrice });
    seen.add(productId);
  }
  const [first] = items;
  if (errors.length > 0 || first === undefined) return { errors };
  // Exact: 100 lines of 10,000 at the highest price are 10^15, and whole numbers are exact up to 9 × 10^15.
  const amount = items.reduce((sum, line) => sum + line.quantity * line.unitPrice.amount, 0);
  return { items, total: { amount, currency: first.unitPrice.currency } };
}

/**
 * Forwards a cancellation to the order service, which decides: the order may be rejected, or expire, before the
 * command arrives. An order has at most one cancellation on its way.
 */
function cancelOrder(request: RequestTo<"cancel-order">, { order }: RequestState): Decision {
  const { operation, name } = request;
  if (order === undefined) throw orderNotFound(name);
  const { orderId, status, history } = order;
  if (isFinal(status)) {
    throw new ServiceError("conflict", "order-final", `Order ${name} is ${status} already.`);
  }
  const replayed = history.some(({ type }) => type === CancelOrder.type);
  return {
    ...{ operation, content: contentOf(request), target: name, status, replayed },
    messages: replayed ? [] : [emission(CancelOrder, { orderId, reason: "customer_request" })],
  };
}

/** The same answer for another customer's order: which orders others have is not disclosed. */
export function orderNotFound(name: string): ServiceError {
  return new ServiceError("not-found", "order-not-found", `You have no order ${name}.`);
}

/** Whether the order can no longer change. A confirmed order can still be cancelled. */
export function isFinal(status: Status): boolean {
  switch (status) {
    case "rejected":
    case "cancelled":
      return true;
    case "accepted":
    case "pending":
    case "backordered":
    case "confirmed":
      return false;
    default:
      return status satisfies never;
  }
}

/** The inventory knows what is on hand: it refuses what would be too much together with the reserved stock. */
function restock(
  request: RequestTo<"restock">,
  { products }: RequestState,
  { newId: restockId }: Moment,
): Decision {
  const { operation, productId, quantity } = request;
  const product = products.get(productId);
  if (product === undefined) {
    throw new ServiceError("not-found", "product-not-found", `There is no product ${productId}.`);
  }
  if (product.available + quantity > MAX_STOCK) {
    const errors = [{ path: "/quantity", message: `would make it more than ${MAX_STOCK}` }];
    throw new ServiceError("invalid", "invalid-input", "There would be too much of it.", { errors });
  }
  return {
    ...{ operation, content: contentOf(request), target: restockId, status: undefined, replayed: false },
    messages: [emission(Restock, { restockId, productId, quantity })],
  };
}
