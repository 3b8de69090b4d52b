import type { ProcessAction, ProcessReport } from "../../api/supervisor.ts";
import { ActionButton } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";
import { act, duties, effects, processes, stateWords } from "../../state/processes.ts";

/** Every process, how it is, and what can be done to it. */
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

/** What can be done to a process in each state, in the order of its buttons. */
const possible: Readonly<Record<ProcessReport["state"], readonly ProcessAction[]>> = {
  ready: ["stop", "kill", "pause"],
  starting: ["stop", "kill", "pause"],
  paused: ["stop", "kill", "resume"],
  "backing-off": ["stop"],
  stopping: ["kill"],
  stopped: ["start"],
};

const words: Readonly<Record<ProcessAction, { text: string; does: string }>> = {
  stop: { text: "Stop", does: "SIGTERM; it stays down until it is started" },
  start: { text: "Start", does: "Runs it again" },
  kill: { text: "Kill", does: "SIGKILL; it is started again by itself" },
  pause: { text: "Pause", does: "SIGSTOP; it keeps its connections and answers nobody" },
  resume: { text: "Resume", does: "SIGCONT" },
};

function ProcessCard({ process }: { process: ProcessReport }) {
  const { name, state, pid, restarts } = process;
  return (
    <li class={`process process-${state}`} data-process={name} data-state={state}>
      <h3>{name}</h3>
      <p class={`process-state lamp-${state}`}>
        <span class="bulb" aria-hidden="true" />
        {stateWords[state]}
      </p>
      <p class="process-about">{state === "ready" ? duties[name] : effects[name]}</p>
      <p class="process-numbers">
        {pid === null ? "no process" : `pid ${pid}`} · {plural(restarts, "restart")}
      </p>
      <div class="process-buttons">
        {possible[state].map((action) => (
          <span key={action} title={words[action].does}>
            <ActionButton
              label={`${words[action].text} ${name}`}
              onAct={() => act(name, action).then(() => undefined)}
            >
              {words[action].text}
            </ActionButton>
          </span>
        ))}
      </div>
    </li>
  );
}
