import type { ProcessAction, ProcessReport } from "@distributed-messaging/supervisor/reports";
import { ActionButton } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";
import { act, processes, stateWords, textsOf } from "../../state/processes.ts";

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

/** The actions in each state, in the order of the buttons. */
const actionsOf: Readonly<Record<ProcessReport["state"], readonly ProcessAction[]>> = {
  ready: ["stop", "kill", "pause"],
  starting: ["stop", "kill", "pause"],
  paused: ["stop", "kill", "resume"],
  "backing-off": ["stop"],
  stopping: ["kill"],
  stopped: ["start"],
};

const labels: Readonly<Record<ProcessAction, { text: string; title: string }>> = {
  stop: { text: "Stop", title: "SIGTERM; it stays down until it is started" },
  start: { text: "Start", title: "Runs it again" },
  kill: { text: "Kill", title: "SIGKILL; it is started again by itself" },
  pause: { text: "Pause", title: "SIGSTOP; it keeps its connections and answers nobody" },
  resume: { text: "Resume", title: "SIGCONT" },
};

function ProcessCard({ process }: { process: ProcessReport }) {
  const { name, state, pid, restarts } = process;
  const { purpose, effect } = textsOf(name);
  return (
    <li class={`process process-${state}`} data-process={name} data-state={state}>
      <h3>{name}</h3>
      <p class={`process-state state-${state}`}>
        <span class="light" aria-hidden="true" />
        {stateWords[state]}
      </p>
      <p class="process-about">{state === "ready" ? purpose : effect}</p>
      <p class="process-numbers">
        {pid === null ? "no process" : `pid ${pid}`} · {plural(restarts, "restart")}
      </p>
      <div class="process-buttons">
        {actionsOf[state].map((action) => (
          <span key={action} title={labels[action].title}>
            <ActionButton
              label={`${labels[action].text} ${name}`}
              onAct={() => act(name, action).then(() => undefined)}
            >
              {labels[action].text}
            </ActionButton>
          </span>
        ))}
      </div>
    </li>
  );
}
