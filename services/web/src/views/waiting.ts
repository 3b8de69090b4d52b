import type { Order } from "../api/types.ts";
import { count, listed, plural } from "../parts/format.ts";
import { isDown } from "../state/processes.ts";
import { nameOf } from "../state/products.ts";

/** Words for the codes that the store gives as reasons; others are sentences already, and name products. */
const reasons: Readonly<Record<string, string>> = {
  customer_request: "you asked for it",
  backorder_expired: "what it waited for has not come in in time",
};

/** What has become of an order, or what it waits for and whose turn it is. */
export function waitsFor({ status, shortages = [], reason }: Order): string {
  const why = reason === undefined ? "" : `: ${reasons[reason] ?? reason}`;
  switch (status) {
    case "accepted":
      return `The store has it, safe on disk. ${turnOf("order", "to take it in")}`;
    case "pending":
      return `The order service has taken it in. ${turnOf("inventory", "to set the goods aside")}`;
    case "backordered": {
      const missing = listed(
        shortages.map(({ productId, missing }) => `${count(missing)} × ${nameOf(productId)}`),
      );
      return `It waits for ${missing || "stock"}. It stands in line: as soon as there is enough it is confirmed by itself.`;
    }
    case "confirmed":
      return "Everything is set aside for you.";
    case "rejected":
      return `It cannot be served${why}.`;
    case "cancelled":
      return `It was called off${why}.`;
    default:
      return status satisfies never;
  }
}

function turnOf(service: string, what: string): string {
  const parts = ["broker", service].filter(isDown);
  if (parts.length === 0) return `It waits for the ${service} service ${what}.`;
  const are = plural(parts.length, "does", "do").replace(/^\S+ /, "");
  return `It waits for the ${service} service ${what}; ${parts.join(" and ")} ${are} not run just now, so it waits.`;
}
