import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { hasSupervisor, sourceUrl } from "../api/supervisor.ts";
import { allAtOnce, personal, plays } from "../tour/pace.ts";
import { shownPromises } from "../tour/promises.ts";
import type { ShownStep } from "../tour/step.ts";
import {
  demonstrate,
  demonstrationOf,
  endDemonstration,
  replay,
  running,
  type TourPromise,
} from "../tour/tour.ts";
import { Player, stepWords } from "./tour/player.tsx";
import { Verdict } from "./tour/verdict.tsx";

/** The promise that is shown step by step. */
const opened = signal<TourPromise | undefined>(undefined);

function open(promise: TourPromise | undefined): void {
  opened.value = promise;
  if (promise === undefined) endDemonstration();
  // The previous one may still put back what it has stopped.
  else void replay(promise, personal);
}

/** The promises, each with its demonstration: step by step, or all at once. */
export function TourView() {
  const promise = opened.value;
  const promises = shownPromises();
  const last = useRef<TourPromise | undefined>(undefined);
  const list = useRef<HTMLOListElement>(null);
  // Who leaves in the middle of a step does not want to come back to a store that is half stopped.
  useEffect(
    () => () => {
      if (opened.peek() === undefined) return;
      open(undefined);
      plays.value = false;
    },
    [],
  );
  // The focus goes back to where it came from.
  useLayoutEffect(() => {
    if (promise === undefined && last.current !== undefined) {
      list.current?.querySelector<HTMLElement>(`[data-promise="${last.current.number}"] button`)?.focus();
    }
    last.current = promise;
  }, [promise]);
  if (promise !== undefined) {
    const following = promises[promises.indexOf(promise) + 1];
    return (
      <Player
        key={promise.number}
        promise={promise}
        of={promises.length}
        following={following}
        onOpen={open}
      />
    );
  }
  return (
    <div class="tour">
      <header>
        <h1 tabIndex={-1}>{promises.length === 6 ? "Six" : "Seven"} promises</h1>
        <p class="lead">
          {hasSupervisor
            ? "Each demonstration really breaks something: processes are stopped and killed, messages are sent twice or broken. Go through it step by step, or let it run all at once. In the end everything runs again."
            : "This store runs without a supervisor, so nothing can be broken here. Run it with npm start to see the promises hold."}
        </p>
      </header>
      <ol class="promises" ref={list}>
        {promises.map((one) => (
          <PromiseCard key={one.number} promise={one} />
        ))}
      </ol>
      {hasSupervisor && promises.length === 6 && (
        <p class="hint">
          With <code>npm start -- --replicas 2</code> there is a seventh one: any machine may be lost, its
          disk included.
        </p>
      )}
    </div>
  );
}

function PromiseCard({ promise }: { promise: TourPromise }) {
  const { number, title, text, button, test } = promise;
  const { state, steps, verdict } = demonstrationOf(number).value ?? { state: "idle", steps: [] };
  const busy = running.value !== undefined;
  return (
    <li class="panel promise" data-promise={number} data-state={state}>
      <p class="promise-number" aria-hidden="true">
        {number}
      </p>
      <h2>{title}</h2>
      <p>{text}</p>
      {hasSupervisor && (
        <div class="promise-act">
          <button type="button" class="primary" disabled={busy} onClick={() => open(promise)}>
            {button}
            <span class="visually-hidden">, step by step</span>
          </button>
          <button
            type="button"
            aria-label={`All at once: ${button}`}
            disabled={busy}
            onClick={() => demonstrate(promise, allAtOnce)}
          >
            All at once
          </button>
          <a href={sourceUrl(test.path, test.text)} target="_blank" rel="noreferrer">
            Read its test<span class="visually-hidden"> (promise {number}, opens a new tab)</span>
          </a>
        </div>
      )}
      <ol class="tour-steps">
        {steps.map((step) => (
          <Step key={step.text} step={step} />
        ))}
      </ol>
      <Verdict state={state} text={verdict} />
    </li>
  );
}

const marks: Readonly<Record<ShownStep["state"], string>> = {
  pending: "·",
  running: "…",
  done: "✓",
  failed: "✗",
};

function Step({ step: { text, state } }: { step: ShownStep }) {
  return (
    <li class={`tour-step tour-${state}`}>
      <span aria-hidden="true">{marks[state]}</span>
      <span>
        {text}
        <span class="visually-hidden"> ({stepWords[state]})</span>
      </span>
    </li>
  );
}
