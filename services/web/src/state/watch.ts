import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchOrder } from "../api/gateway.ts";
import { Refused } from "../api/request.ts";
import { isOpen, type Notification, type Order } from "../api/types.ts";
import { refusal, sending } from "./checkout.ts";
import { feed } from "./feed.ts";
import { noteOrder, onNewsOf } from "./orders.ts";
import { poll } from "./poll.ts";
import { expire, token } from "./session.ts";

/** What is known of one order. `missing`: there is no such order, or not of this customer. */
export interface Watched {
  readonly order: Order | undefined;
  readonly missing: boolean;
  /** Whether the gateway answered when it was asked last. */
  readonly answered: boolean;
  readonly news: Notification | undefined;
}

const nothing: Watched = { order: undefined, missing: false, answered: true, news: undefined };

/** How often the gateway is asked: while its copy is behind the news, while nothing is pushed, and else. */
const BEHIND_MS = 120;
const OPEN_MS = 1_000;
const IDLE_MS = 10_000;

/** Follows one order for as long as a component is shown: by its news, and by asking. */
export function useOrder(orderId: string): Signal<Watched> {
  const watched = useSignal(nothing);
  const by = token.value;
  // Before the gateway has it, and when it will not have it, there is nothing to ask for.
  const onItsWay =
    sending.value.some((order) => order.orderId === orderId) || refusal.value?.orderId === orderId;
  useEffect(() => {
    watched.value = nothing;
    if (by === undefined || onItsWay) return;
    const ask = async () => {
      try {
        const order = await fetchOrder(by, orderId);
        if (token.peek() !== by) return;
        noteOrder(order);
        watched.value = { ...watched.peek(), order, missing: false, answered: true };
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return expire();
        const missing = error instanceof Refused && error.status === 404;
        watched.value = { ...watched.peek(), missing, answered: error instanceof Refused };
      }
    };
    const polling = poll(ask, () => pause(watched.peek()));
    const end = onNewsOf(orderId, (news) => {
      watched.value = { ...watched.peek(), news };
      polling.now();
    });
    return () => {
      polling.stop();
      end();
    };
  }, [orderId, by, onItsWay, watched]);
  return watched;
}

function pause({ order, news }: Watched): number {
  if (order === undefined) return OPEN_MS;
  if (news !== undefined && Date.parse(news.at) > Date.parse(order.updatedAt)) return BEHIND_MS;
  if (!isOpen(order.status)) return IDLE_MS;
  return feed.peek() === "live" ? 2 * OPEN_MS : OPEN_MS;
}
