import type { CancelOrder, PlaceOrder } from "@distributed-messaging/contracts";
import type { Transaction } from "@distributed-messaging/messaging";
import type { Step } from "./domain.ts";

/**
 * A command that the gateway sends, as a step of its order. What caused it is a request, which is no message: it is
 * the beginning of what the other services do about it.
 *
 * @param id the message's
 */
export function ownStep(
  type: typeof PlaceOrder.type | typeof CancelOrder.type,
  id: string,
  { now }: Transaction,
): Step {
  return { id, cause: id, at: now, service: "api-gateway", type };
}
