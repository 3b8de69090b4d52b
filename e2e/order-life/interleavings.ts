import { type StoreModel, TIME_PASSES } from "./store-model.ts";

export interface Interleaving {
  /** All transitions, from the first to the last that is possible. */
  readonly transitions: readonly string[];
  readonly store: StoreModel;
}

/**
 * All interleavings of the messages that follow from a state, in depth-first order.
 *
 * @param begin creates the state
 * @param passTime whether time also passes once, at every point at which an order waits
 */
export function* allInterleavings(begin: () => StoreModel, passTime: boolean): Iterable<Interleaving> {
  const left: string[][] = [[]];
  for (let transitions = left.pop(); transitions !== undefined; transitions = left.pop()) {
    const store = begin();
    for (const transition of transitions) store.perform(transition);
    const next = store.transitions();
    if (passTime && store.canExpire && !transitions.includes(TIME_PASSES)) next.push(TIME_PASSES);
    if (next.length === 0) yield { transitions, store };
    for (const transition of next) left.push([...transitions, transition]);
  }
}
