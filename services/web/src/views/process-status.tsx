import { hasSupervisor } from "../api/supervisor.ts";
import { down, processes, processesAsked, stateWords, textsOf } from "../state/processes.ts";
import { gatewayAnswers } from "../state/products.ts";

/** The state of each process, and a sentence on the effect of those that are down. Its height does not change. */
export function ProcessStatus() {
  if (!hasSupervisor) return <GatewayStatus />;
  return (
    <section class="process-status" aria-label="The store's processes">
      <ul>
        {(processes.value ?? []).map(({ name, state }) => (
          <li key={name} class={`process-light state-${state}`} data-process={name} data-state={state}>
            <span class="light" aria-hidden="true" />
            {name}
            <span class="visually-hidden"> {stateWords[state]}</span>
          </li>
        ))}
      </ul>
      {/* Empty until the first answer, because a text would move when the list appears beside it. */}
      <p class="process-status-text">{processesAsked.value && sentence()}</p>
    </section>
  );
}

function sentence(): string {
  if (processes.value === undefined) {
    return gatewayAnswers.value ? "The supervisor does not answer." : "Nothing answers just now.";
  }
  const [first, ...others] = down.value;
  if (first === undefined) return "Everything runs.";
  const { effect } = textsOf(first.name);
  if (others.length === 0) return `${first.name} is ${stateWords[first.state]}. ${effect}`;
  return `Not running: ${down.value.map(({ name }) => name).join(", ")}. ${effect}`;
}

/** Without a supervisor the page knows only whether the gateway answers. */
function GatewayStatus() {
  return (
    <section class="process-status" aria-label="The store">
      <p class="process-status-text">
        {gatewayAnswers.value
          ? "The store is open."
          : "The store does not answer just now. What you order is kept here and sent later."}
      </p>
    </section>
  );
}
