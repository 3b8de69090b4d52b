import type { Source } from "./sources.ts";

/** One step of a demonstration. */
export interface Step {
  /** What is done. */
  readonly text: string;
  /** What there is to see, during the step and after it. */
  readonly look: string;
  /** The parts of the map that the visitor should look at. */
  readonly parts: readonly string[];
  /** The code that makes it so. */
  readonly code: Source;
  /** The test that fails without that code. */
  readonly test: Source;
}

/** What shows that a step has happened. */
export type Evidence =
  | {
      readonly kind: "order";
      readonly orderId: string;
      readonly customerId: string;
      /** Whether the broker could be asked for its messages. */
      readonly hasMessages: boolean;
    }
  /** A line that a process logged, or the supervisor about it. */
  | { readonly kind: "log"; readonly process: string; readonly line: string };

export interface ShownStep extends Step {
  readonly state: "pending" | "running" | "done" | "failed";
  readonly evidence: readonly Evidence[];
}

/** Records how a demonstration goes on. */
export interface Journal {
  /** Shows a step while `work` runs. Resolves as `work` does; may wait for the visitor before. */
  readonly perform: <T>(step: Step, work: () => Promise<T>) => Promise<T>;
  /** Adds to the evidence of the step that runs. */
  readonly add: (evidence: Evidence) => void;
}
