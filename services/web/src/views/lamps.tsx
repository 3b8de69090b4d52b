import { hasSupervisor } from "../api/supervisor.ts";
import { down, effects, processes, processesAsked, stateWords } from "../state/processes.ts";
import { gatewayAnswers } from "../state/products.ts";

/**
 * The lights over the door: one for each process, and one sentence on what it means that one of them is out. Its
 * height is the same whatever it says.
 */
export function Lamps() {
  if (!hasSupervisor) return <PlainState />;
  const known = processes.value;
  return (
    <section class="lamps" aria-label="The store's processes">
      <ul>
        {known?.map(({ name, state }) => (
          <li key={name} class={`lamp lamp-${state}`} data-process={name} data-state={state}>
            <span class="bulb" aria-hidden="true" />
            {name}
            <span class="visually-hidden">{` ${stateWords[state]}`}</span>
          </li>
        ))}
      </ul>
      {/* Empty until the first answer: a text would move when the lamps appear beside it. */}
      <p class="lamps-text">{processesAsked.value && sentence(known !== undefined)}</p>
    </section>
  );
}

function sentence(known: boolean): string {
  const [first, ...others] = down.value;
  if (!known) return gatewayAnswers.value ? "The supervisor does not answer." : "Nothing answers just now.";
  if (first === undefined) return "Everything runs.";
  if (others.length > 0) {
    const names = down.value.map(({ name }) => name).join(", ");
    return `Not running: ${names}. ${effects[first.name] ?? ""}`;
  }
  return `${first.name} is ${stateWords[first.state]}. ${effects[first.name] ?? ""}`;
}

/** Where there is no supervisor, all that the page knows is whether the gateway answers. */
function PlainState() {
  const open = gatewayAnswers.value;
  return (
    <section class="lamps" aria-label="The store">
      <p class="lamps-text">
        {open
          ? "The store is open."
          : "The store does not answer just now. What you order is kept here and sent later."}
      </p>
    </section>
  );
}
