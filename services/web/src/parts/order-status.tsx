import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import type { Order } from "../api/types.ts";
import type { ListedOrder } from "../state/orders.ts";
import { isDown } from "../state/processes.ts";
import { nameOf } from "../state/products.ts";
import { count, listed } from "./format.ts";

/** The word and the colour of each status. */
export const statusWords: Readonly<Record<ListedOrder["status"], { word: string; tone: string }>> = {
  sending: { word: "not sent yet", tone: "idle" },
  refused: { word: "not taken", tone: "bad" },
  accepted: { word: "accepted", tone: "idle" },
  pending: { word: "pending", tone: "idle" },
  backordered: { word: "waiting", tone: "wait" },
  confirmed: { word: "confirmed", tone: "good" },
  rejected: { word: "rejected", tone: "bad" },
  cancelled: { word: "cancelled", tone: "off" },
};

export function StatusBadge({ status }: { status: ListedOrder["status"] }) {
  const { word, tone } = statusWords[status];
  return (
    <span class={`badge badge-${tone}`} data-status={status}>
      {word}
    </span>
  );
}

/** Texts for the reason codes. Other reasons are texts already. */
const reasons: Readonly<Record<string, string>> = {
  customer_request: "at your request",
  backorder_expired: "because what it waited for did not arrive in time",
};

/** The outcome of an order, or what it waits for. */
export function describeStatus({ status, shortages = [], reason }: Order): string {
  const why = reason === undefined ? "" : `: ${reasons[reason] ?? escapeInvisible(reason)}`;
  switch (status) {
    case "accepted":
      return `The store has it, safe on disk. ${nextAction("order", "to record it")}`;
    case "pending":
      return `The order service has recorded it. ${nextAction("inventory", "to reserve the goods")}`;
    case "backordered": {
      const missing = listed(
        shortages.map(({ productId, missing }) => `${count(missing)} × ${nameOf(productId)}`),
      );
      return `It waits for ${missing || "stock"}. It is confirmed as soon as there is enough: new stock goes to waiting orders first.`;
    }
    case "confirmed":
      return "Everything is reserved for you.";
    case "rejected":
      return `It cannot be served${why}.`;
    case "cancelled":
      return reason !== undefined && reason in reasons ? `Cancelled ${reasons[reason]}.` : `Cancelled${why}.`;
    default:
      return status satisfies never;
  }
}

/** The service that acts next, and the processes that prevent it. */
function nextAction(service: string, what: string): string {
  const parts = ["broker", service].filter(isDown);
  const wait = `The order waits for the ${service} service ${what}.`;
  return parts.length === 0 ? wait : `${wait} Not running: ${parts.join(", ")}.`;
}
