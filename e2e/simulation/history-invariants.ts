import type { HistoryEntry } from "@distributed-messaging/api-gateway/domain";
import { topics } from "@distributed-messaging/contracts";
import { type Emitted, emittedBy } from "./ledger.ts";
import { views } from "./store-invariants.ts";
import type { World } from "./world.ts";

/** Where orders are told of, each under its own key. */
const ofOrders: ReadonlySet<string> = new Set(
  [topics.orderCommands, topics.orderEvents, topics.inventoryEvents].map(({ name }) => name),
);

/**
 * A view's history is every message of its order, whichever service emitted it: those of one service in the order of
 * their emission, and each behind the one that caused it.
 */
export function* historyIsCausal(world: World): Iterable<string> {
  const emitted = world.processes.flatMap(({ disk }) => emittedBy(disk.database));
  const ofOrder = Map.groupBy(
    emitted.filter(({ topic }) => ofOrders.has(topic)),
    ({ key }) => key,
  );
  for (const { orderId, history } of views(world)) {
    for (const breach of breachesOf(history, ofOrder.get(orderId) ?? [])) yield `${orderId}: ${breach}`;
  }
}

function* breachesOf(history: readonly HistoryEntry[], messages: readonly Emitted[]): Iterable<string> {
  const left = Map.groupBy(messages, ({ source }) => source);
  const toCome = new Set(messages.map(({ id }) => id));
  for (const { at, type, service } of history) {
    const message = left.get(service)?.shift();
    const expected = message && { at: Date.parse(message.time), type: message.type };
    if (message === undefined || !Bun.deepEquals({ at, type }, expected)) {
      yield `its history has ${type} of ${service} at ${at}, next was ${JSON.stringify(expected)}`;
      return;
    }
    toCome.delete(message.id);
    if (toCome.has(message.causationid)) yield `its history has ${type} before what caused it`;
  }
  for (const { type, source } of [...left.values()].flat()) yield `its history lacks ${type} of ${source}`;
}
