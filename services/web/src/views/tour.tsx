import { hasSupervisor, testSourceUrl } from "../api/supervisor.ts";
import { promises } from "../tour/promises.ts";
import { demonstrate, demonstrationOf, running, type TourPromise, type TourStep } from "../tour/tour.ts";

/** The six promises, each with a button that runs its scenario. */
export function TourView() {
  return (
    <div class="tour">
      <header>
        <h1 tabIndex={-1}>Six promises</h1>
        <p class="lead">
          {hasSupervisor
            ? "Each button really breaks something: processes are stopped and killed, messages are sent twice or broken. Watch the map above. In the end everything runs again."
            : "This store runs without a supervisor, so nothing can be broken here. Run it with npm start to see the promises hold."}
        </p>
      </header>
      <ol class="promises">
        {promises.map((promise) => (
          <PromiseCard key={promise.number} promise={promise} />
        ))}
      </ol>
    </div>
  );
}

const verdicts = { held: "It held.", broken: "It could not be shown." } as const;

function PromiseCard({ promise }: { promise: TourPromise }) {
  const { number, title, text, button } = promise;
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
          <button type="button" class="primary" disabled={busy} onClick={() => void demonstrate(promise)}>
            {button}
          </button>
          <a href={testSourceUrl(number)} target="_blank" rel="noreferrer">
            Read its test<span class="visually-hidden"> (promise {number}, opens a new tab)</span>
          </a>
        </div>
      )}
      <ol class="tour-steps">
        {steps.map((step) => (
          <Step key={step.text} step={step} />
        ))}
      </ol>
      {(state === "held" || state === "broken") && (
        <p class={`verdict verdict-${state}`}>
          <strong>{verdicts[state]}</strong> {verdict}
        </p>
      )}
    </li>
  );
}

const marks: Readonly<Record<TourStep["state"], { mark: string; word: string }>> = {
  running: { mark: "…", word: "under way" },
  done: { mark: "✓", word: "done" },
  failed: { mark: "✗", word: "failed" },
};

function Step({ step: { text, state } }: { step: TourStep }) {
  const { mark, word } = marks[state];
  return (
    <li class={`tour-step tour-${state}`}>
      <span aria-hidden="true">{mark}</span>
      <span>
        {text}
        <span class="visually-hidden"> ({word})</span>
      </span>
    </li>
  );
}
