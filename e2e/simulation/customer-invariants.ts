import { emittedBy } from "./ledger.ts";
import { steps, views } from "./store-invariants.ts";
import type { World } from "./world.ts";

/** One notification for each thing that becomes of an order: none is missing, none comes twice. */
export function* notifiedOnce({ notification, order }: World): Iterable<string> {
  const told = notification.disk.database.sql
    .query<{ id: string; orderId: string }, []>(
      "SELECT notification_id AS id, order_id AS orderId FROM notifications ORDER BY seq",
    )
    .all();
  // An order that lacks something else after a while waits as before.
  const seen = new Set<string>();
  const events = emittedBy(order.disk.database).filter(({ type, key }) => {
    const isFirst = !seen.has(`${type} ${key}`);
    seen.add(`${type} ${key}`);
    return isFirst && steps.has(type);
  });
  const toldIds = new Set(told.map(({ id }) => id));
  for (const { id, type, key } of events) if (!toldIds.has(id)) yield `nobody was told of ${type} of ${key}`;
  if (told.length !== events.length) yield `${told.length} notifications for ${events.length} events`;
}

export function* totalsAreRight(world: World): Iterable<string> {
  const prices = new Map(world.products.map(({ productId, price }) => [productId, price.amount]));
  for (const { orderId, items, total } of views(world)) {
    const sum = items.reduce((amount, line) => amount + line.quantity * (prices.get(line.productId) ?? 0), 0);
    if (sum !== total.amount) yield `${orderId}: ${total.amount} instead of ${sum}`;
  }
}

/** A copy that was made anew has nothing but what a message accounts for, unless messages were lost with their topic. */
export function* copiesAreWhole({ processes, plenty, recreated }: World): Iterable<string> {
  if (!plenty) return;
  for (const { name, running } of processes) {
    const status = running?.rebuild?.status();
    if (status === undefined || recreated.size > 0) continue;
    if (status.phase !== "done") yield `the rebuild of ${name} is ${status.phase}: ${status.error}`;
    else if (status.unaccounted > 0)
      yield `${name} has ${status.unaccounted} rows that no message accounts for`;
  }
}
