import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { next, personal, plays, waitsForNext } from "../../tour/pace.ts";
import type { ShownStep } from "../../tour/step.ts";
import { demonstrationOf, endDemonstration, replay, type TourPromise } from "../../tour/tour.ts";
import { StepEvidence } from "./evidence.tsx";
import { Verdict } from "./verdict.tsx";

/** What is said of a step in each state. */
export const stepWords: Readonly<Record<ShownStep["state"], string>> = {
  pending: "to come",
  running: "under way",
  done: "done",
  failed: "failed",
};

interface PlayerProps {
  readonly promise: TourPromise;
  /** How many promises there are. */
  readonly of: number;
  /** The next promise of the tour, if there is one. */
  readonly following: TourPromise | undefined;
  /** Opens another promise; with undefined, the list of all. */
  readonly onOpen: (promise: TourPromise | undefined) => void;
}

/** One demonstration, step by step, at the pace of its visitor. */
export function Player({ promise, of, following, onOpen }: PlayerProps) {
  const { number, title, text } = promise;
  const { state, steps, verdict } = demonstrationOf(number).value ?? { state: "idle", steps: [] };
  const begun = steps.findLastIndex((step) => step.state !== "pending");
  const current = Math.max(0, begun);
  /** The step whose evidence is shown; undefined: the current one. */
  const chosen = useSignal<number | undefined>(undefined);
  useEffect(() => {
    chosen.value = undefined;
  }, [current]);
  const top = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    top.current?.scrollIntoView({ block: "start" });
  }, []);
  const shown = Math.min(chosen.value ?? current, steps.length - 1);
  const step = steps[shown];
  return (
    <article class="player" data-promise={number} data-state={state} ref={top}>
      <header>
        <p class="crumb">
          <button type="button" class="quiet small" onClick={() => onOpen(undefined)}>
            All promises
          </button>
          Promise {number} of {of}
        </p>
        <h1 tabIndex={-1}>{title}</h1>
        <p>{text}</p>
      </header>
      <div class="player-body">
        <div class="panel player-stage">
          {step !== undefined && (
            <CurrentStep
              step={step}
              place={`Step ${shown + 1} of ${steps.length}`}
              isLater={shown > begun}
              isOver={isOver(state)}
            />
          )}
          <Verdict state={state} text={verdict} />
        </div>
        <ol class="player-steps" aria-label="Steps">
          {steps.map((one, index) => (
            <li key={one.text} class={`tour-${one.state}`}>
              <button
                type="button"
                class="player-step"
                aria-current={index === shown ? "step" : undefined}
                onClick={() => {
                  chosen.value = index;
                }}
              >
                <span class="player-mark" aria-hidden="true">
                  {one.state === "done" ? "✓" : one.state === "failed" ? "✗" : index + 1}
                </span>
                <span>
                  {one.text}
                  <span class="visually-hidden"> ({stepWords[one.state]})</span>
                </span>
              </button>
            </li>
          ))}
        </ol>
      </div>
      <Controls promise={promise} following={following} onOpen={onOpen} />
    </article>
  );
}

function isOver(state: string): boolean {
  return state === "held" || state === "broken" || state === "ended";
}

interface CurrentStepProps {
  readonly step: ShownStep;
  readonly place: string;
  readonly isLater: boolean;
  readonly isOver: boolean;
}

function CurrentStep({ step, place, isLater, isOver }: CurrentStepProps) {
  return (
    <section aria-labelledby="player-step">
      <p class="hint">
        {place}: {stepWords[step.state]}
      </p>
      <h2 id="player-step">{step.text}</h2>
      <p class="player-look">
        <strong>{isLater ? "You will see:" : isOver ? "What you saw:" : "Look:"}</strong> {step.look}
      </p>
      <StepEvidence step={step} />
    </section>
  );
}

/** Always in view, at the lower edge. Its buttons stay where they are, so that the focus does. */
function Controls({ promise, following, onOpen }: Omit<PlayerProps, "of">) {
  const { state } = demonstrationOf(promise.number).value ?? { state: "idle" };
  const isRunning = state === "running";
  const hasEnded = isOver(state);
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => button.current?.focus({ preventScroll: true }), []);
  const canGoOn = isRunning ? waitsForNext.value : hasEnded;
  const goOn = () => {
    if (!canGoOn) return;
    if (isRunning) next();
    else onOpen(following);
  };
  const nextText =
    isRunning || !hasEnded ? "Next" : following === undefined ? "All promises" : "Next promise";
  return (
    <section class="player-controls" aria-label="Controls of the tour">
      <button type="button" class="primary" ref={button} aria-disabled={!canGoOn} onClick={goOn}>
        {nextText}
      </button>
      <button
        type="button"
        aria-disabled={!isRunning}
        onClick={() => {
          if (isRunning) plays.value = !plays.peek();
        }}
      >
        {plays.value ? "Pause" : "Play"}
        <span class="visually-hidden">
          {plays.value ? ": each step waits for Next" : ": the steps follow by themselves"}
        </span>
      </button>
      <button
        type="button"
        aria-disabled={!isRunning && !hasEnded}
        onClick={() => {
          if (isRunning || hasEnded) void replay(promise, personal);
        }}
      >
        Replay
      </button>
      <button
        type="button"
        class="danger"
        aria-disabled={!isRunning}
        onClick={() => {
          if (isRunning) endDemonstration();
        }}
      >
        End
      </button>
      <p class="player-progress hint">
        {state === "restoring" && "What was stopped is started again, and the orders are cancelled."}
        {isRunning && !waitsForNext.value && "Under way."}
        {isRunning &&
          waitsForNext.value &&
          (plays.value ? "The next step follows." : "Go on when you are ready.")}
      </p>
    </section>
  );
}
