import type { Move, StoreModel } from "./store-model.ts";

/** A move, and which of the messages that it may take it takes. */
export interface Step {
  readonly move: Move;
  readonly pick: number;
}

export interface Way {
  readonly steps: readonly Step[];
  readonly store: StoreModel;
}

export const TIME_PASSES: Step = { move: "time passes the deadline", pick: 0 };

/** Every way in which things may go, from beginning to end. @param passTime whether a deadline may pass, at any time */
export function* everyWay(begin: () => StoreModel, passTime: boolean): Iterable<Way> {
  const left: Step[][] = [[]];
  for (let steps = left.pop(); steps !== undefined; steps = left.pop()) {
    const store = begin();
    for (const { move, pick } of steps) store.make(move, () => pick);
    const next = store
      .moves()
      .flatMap((move) => Array.from({ length: store.choices(move) }, (_, pick): Step => ({ move, pick })));
    if (passTime && store.canExpire && !steps.includes(TIME_PASSES)) next.push(TIME_PASSES);
    if (next.length === 0) yield { steps, store };
    for (const step of next) left.push([...steps, step]);
  }
}
