import { CancelOrder } from "@distributed-messaging/contracts";
import { ServiceError } from "@distributed-messaging/service/errors";
import { isFinal, type OrderView } from "./domain.ts";

/*
 * Read your writes at any gateway: the answer to a request says, opaquely, what a gateway has to show before it is as far as
 * the one that answered. Another one waits until then: it hears of an order from the order service, and of its cancellation by
 * what that leads to.
 */

/** How long a request waits, and how often it looks. */
const WAIT_MS = 5_000;
const LOOK_EVERY_MS = 25;
/** How many requests of one customer may wait: each looks for its order again and again. */
const MAX_WAITING = 20;

/** By customer. */
const waiting = new Map<string, number>();

type Write = "placed" | "cancelled";

/** @param orderId the id under which the order travels */
export function consistencyToken(write: Write, orderId: string): string {
  return Buffer.from(`${write} ${orderId}`).toString("base64url");
}

/** @returns what a token says; undefined when it is none */
function parseToken(token: string): { readonly write: Write; readonly orderId: string } | undefined {
  if (!/^[A-Za-z0-9_-]{1,200}$/.test(token)) return undefined;
  const [, write, orderId] =
    /^(placed|cancelled) ([A-Za-z0-9_-]{1,64})$/.exec(Buffer.from(token, "base64url").toString()) ?? [];
  if (orderId === undefined) return undefined;
  return { write: write === "placed" ? "placed" : "cancelled", orderId };
}

interface Reading {
  readonly request: Request;
  readonly customerId: string;
  /** The order with an id, as this gateway shows it. */
  orderOf(orderId: string): OrderView | undefined;
  /** @defaultValue 5 s */
  readonly waitMs?: number;
}

/**
 * Waits until this gateway shows what the request's `Consistency-Token` says, if it has one.
 *
 * @throws ServiceError malformed: malformed-token; unavailable: not-consistent-yet
 */
export async function untilConsistent({
  request,
  customerId,
  orderOf,
  waitMs = WAIT_MS,
}: Reading): Promise<void> {
  const token = request.headers.get("consistency-token");
  if (token === null) return;
  const said = parseToken(token);
  if (said === undefined) {
    throw new ServiceError(
      "malformed",
      "malformed-token",
      "The Consistency-Token is not one that a gateway of this store has answered.",
    );
  }
  const isThere = () => isShown(said.write, orderOf(said.orderId), customerId);
  if (isThere()) return;
  const before = waiting.get(customerId) ?? 0;
  if (before >= MAX_WAITING) throw notConsistentYet();
  waiting.set(customerId, before + 1);
  try {
    const deadline = performance.now() + waitMs;
    while (!isThere()) {
      if (performance.now() >= deadline || request.signal.aborted) throw notConsistentYet();
      await Bun.sleep(LOOK_EVERY_MS);
    }
  } finally {
    const left = (waiting.get(customerId) ?? 1) - 1;
    if (left > 0) waiting.set(customerId, left);
    else waiting.delete(customerId);
  }
}

function notConsistentYet(): ServiceError {
  return new ServiceError(
    "unavailable",
    "not-consistent-yet",
    "What the Consistency-Token says has not arrived here yet.",
    { retryAfterS: 1 },
  );
}

/** That another customer has such an order is not disclosed. */
function isShown(write: Write, order: OrderView | undefined, customerId: string): boolean {
  if (order?.customerId !== customerId) return false;
  if (write === "placed") return true;
  return isFinal(order.status) || order.history.some(({ type }) => type === CancelOrder.type);
}
