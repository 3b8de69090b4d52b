import type { ListedOrder } from "../state/orders.ts";

/** What each status is called, and which colour it has: the word says it too, for those who see no colour. */
export const statusWords: Readonly<Record<ListedOrder["status"], { word: string; tone: string }>> = {
  sending: { word: "sending", tone: "idle" },
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
