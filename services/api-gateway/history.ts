import {
  CancelOrder,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  PlaceOrder,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { revisionOf, type Step } from "./domain.ts";

/** A step as its customer sees it. */
export interface HistoryEntry {
  readonly at: number;
  readonly type: Step["type"];
  readonly service: string;
}

/**
 * The steps of an order in causal order, whichever way they came in: each after the one that caused it, those of one
 * service as an order goes through them, and what has nothing to do with one another by time. Clocks may disagree, or
 * be set back; only the last of the three asks them.
 */
export function historyOf(steps: readonly Step[]): HistoryEntry[] {
  return inCausalOrder(steps).map(({ at, type, service }) => ({ at, type, service }));
}

export function inCausalOrder(steps: readonly Step[]): Step[] {
  const queues = Map.groupBy(steps.toSorted(asInOneService), ({ service }) => service);
  const left = new Set(steps.map(({ id }) => id));
  const ordered: Step[] = [];
  while (left.size > 0) {
    const heads = [...queues.values()].flatMap(([head]) => head ?? []);
    const free = heads.filter(({ id, cause }) => cause === id || !left.has(cause));
    // Causes that go in a circle are nonsense, but no reason to show nothing.
    const next = earliest(free) ?? earliest(heads);
    if (next === undefined) break;
    queues.get(next.service)?.shift();
    left.delete(next.id);
    ordered.push(next);
  }
  return ordered;
}

/** Where each step stands in an order's way through the service that takes it. No order takes two of one number. */
const PLACE: Readonly<Record<Step["type"], number>> = {
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

function asInOneService(one: Step, other: Step): number {
  return PLACE[one.type] - PLACE[other.type] || revisionOf(one) - revisionOf(other) || byId(one, other);
}

function earliest(steps: readonly Step[]): Step | undefined {
  return steps.toSorted((one, other) => one.at - other.at || byId(one, other))[0];
}

function byId(one: Step, other: Step): number {
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}
