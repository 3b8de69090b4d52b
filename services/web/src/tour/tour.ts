import { signal } from "@preact/signals";
import { messageOf } from "../api/request.ts";
import { announce } from "../state/announcer.ts";
import { restoreAll, Scenario } from "./scenario.ts";

export interface TourStep {
  readonly text: string;
  readonly state: "running" | "done" | "failed";
}

/** The last demonstration of a promise. */
interface Demonstration {
  readonly state: "idle" | "running" | "held" | "broken";
  readonly steps: readonly TourStep[];
  /** The observed result. */
  readonly verdict?: string;
}

/** A promise of the store, and a scenario that demonstrates it. */
export interface TourPromise {
  readonly number: number;
  readonly title: string;
  readonly text: string;
  /** The label of the button. */
  readonly button: string;
  /** @returns the observed result @throws Error when the promise is broken or the scenario cannot run */
  readonly demonstrate: (scenario: Scenario) => Promise<string>;
}

const demonstrations = new Map<number, ReturnType<typeof signal<Demonstration>>>();

/** The number of the promise that is being demonstrated. One at a time, because each stops processes. */
export const running = signal<number | undefined>(undefined);

export function demonstrationOf(number: number) {
  let found = demonstrations.get(number);
  if (found === undefined) {
    found = signal<Demonstration>({ state: "idle", steps: [] });
    demonstrations.set(number, found);
  }
  return found;
}

/** Runs the scenario of a promise. All processes run afterwards, whatever the result. */
export async function demonstrate(promise: TourPromise): Promise<void> {
  if (running.peek() !== undefined) return;
  running.value = promise.number;
  const shown = demonstrationOf(promise.number);
  shown.value = { state: "running", steps: [] };
  const step = stepsOf(shown);
  try {
    await step("See that everything runs", restoreAll);
    const verdict = await promise.demonstrate(await Scenario.start(step));
    shown.value = { state: "held", steps: shown.peek()?.steps ?? [], verdict };
    announce(`${promise.title} It held. ${verdict}`);
  } catch (error) {
    shown.value = { state: "broken", steps: shown.peek()?.steps ?? [], verdict: messageOf(error) };
    announce(`${promise.title} It could not be shown. ${messageOf(error)}`);
  } finally {
    await restoreAll().catch(() => {});
    running.value = undefined;
  }
}

function stepsOf(shown: ReturnType<typeof signal<Demonstration>>): Scenario["step"] {
  return async (text, work) => {
    const steps = shown.peek()?.steps ?? [];
    const set = (state: TourStep["state"]) => {
      shown.value = { state: "running", steps: [...steps, { text, state }] };
    };
    set("running");
    try {
      const result = await work();
      set("done");
      return result;
    } catch (error) {
      set("failed");
      throw error;
    }
  };
}
