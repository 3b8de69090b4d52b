import { signal } from "@preact/signals";
import { wordsFor } from "../api/request.ts";
import { announce } from "../state/announcer.ts";
import { putRight, Stage } from "./stage.ts";

export interface TourStep {
  readonly text: string;
  readonly state: "running" | "done" | "failed";
}

interface Performance {
  readonly state: "idle" | "running" | "held" | "broken";
  readonly steps: readonly TourStep[];
  /** What was seen in the end. */
  readonly verdict?: string;
  /** The order that it was shown with. */
  readonly orderId?: string;
}

/** Tells, and does, one thing after the other. */
interface Script {
  readonly stage: Stage;
  /** Shows a step while it is done. */
  step<T>(text: string, work: () => Promise<T>): Promise<T>;
}

/** One of the promises, and a way to see it hold. */
export interface TourPromise {
  readonly number: number;
  readonly title: string;
  readonly text: string;
  /** What the button says. */
  readonly button: string;
  /** @returns what was seen @throws when the promise does not hold, or nobody could tell */
  readonly show: (script: Script) => Promise<string>;
}

const idle: Performance = { state: "idle", steps: [] };
const performances = new Map<number, ReturnType<typeof signal<Performance>>>();

/** Whether something is being shown: one thing at a time, or nobody knows what broke what. */
export const onStage = signal<number | undefined>(undefined);

export function performanceOf(number: number) {
  let found = performances.get(number);
  if (found === undefined) {
    found = signal<Performance>(idle);
    performances.set(number, found);
  }
  return found;
}

/** Breaks something and shows that the promise holds. Whatever happens, everything runs in the end. */
export async function perform({ number, title, show }: TourPromise): Promise<void> {
  if (onStage.peek() !== undefined) return;
  onStage.value = number;
  const shown = performanceOf(number);
  shown.value = { state: "running", steps: [] };
  const step = stepper(shown);
  try {
    await step("See that everything runs", putRight);
    const stage = await Stage.open();
    const verdict = await show({ stage, step });
    shown.value = { state: "held", steps: shown.peek()?.steps ?? [], verdict };
    announce(`${title} It held. ${verdict}`);
  } catch (error) {
    shown.value = { state: "broken", steps: shown.peek()?.steps ?? [], verdict: wordsFor(error) };
    announce(`${title} It could not be shown. ${wordsFor(error)}`);
  } finally {
    await putRight().catch(() => {});
    onStage.value = undefined;
  }
}

function stepper(shown: ReturnType<typeof signal<Performance>>): Script["step"] {
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
