import type { ProcessReport } from "@distributed-messaging/supervisor/reports";
import { plural } from "../../parts/format.ts";
import { ProcessButtons } from "../../parts/process-buttons.tsx";
import { figures } from "../../state/figures.ts";
import { processes, stateWords, textsOf } from "../../state/processes.ts";

/** Every process with its state and its actions. */
export function ProcessPanel() {
  const list = processes.value;
  return (
    <section class="panel" aria-labelledby="processes-title">
      <h2 id="processes-title">Processes</h2>
      {list === undefined ? (
        <p class="empty">The supervisor does not answer.</p>
      ) : (
        <ul class="processes">
          {list.map((process) => (
            <ProcessCard key={process.name} process={process} />
          ))}
        </ul>
      )}
    </section>
  );
}

function ProcessCard({ process }: { process: ProcessReport }) {
  const { name, state, pid, restarts } = process;
  const { purpose, effect } = textsOf(name);
  const problems = figures.value?.services.find((service) => service.name === name)?.problems.join(" ");
  return (
    <li class={`process process-${state}`} data-process={name} data-state={state}>
      <h3>{name}</h3>
      <p class={`process-state state-${state}`}>
        <span class="light" aria-hidden="true" />
        {stateWords[state]}
      </p>
      <p class="process-about">{problems || (state === "ready" ? purpose : effect)}</p>
      <p class="process-numbers">
        {pid === null ? "no process" : `pid ${pid}`} · {plural(restarts, "restart")}
      </p>
      <ProcessButtons process={process} withDestroy />
    </li>
  );
}
