import { hasSupervisor } from "../api/supervisor.ts";
import { down, effects, processes, stateWords } from "../state/processes.ts";
import { gatewayAnswers } from "../state/products.ts";

/** Shown while nobody knows of any process: as many lamps, so that nothing moves when they are known. */
const NAMES = ["broker", "api-gateway", "inventory", "order", "notification"] as const;

/**
 * The lights over the door: one for each process, and one sentence on what it means that one of them is out. Its
 * height is the same whatever it says.
 */
export function Lamps() {
  if (!hasSupervisor) return <PlainState />;
  const known = processes.value;
  const lamps = known ?? NAMES.map((name) => ({ name, state: "unknown" as const }));
  return (
    <section class="lamps" aria-label="The store's processes">
      <ul>
        {lamps.map(({ name, state }) => (
          <li key={name} class={`lamp lamp-${state}`} data-process={name} data-state={state}>
            <span class="bulb" aria-hidden="true" />
            {name}
            <span class="visually-hidden">{state === "unknown" ? " unknown" : ` ${stateWords[state]}`}</span>
          </li>
        ))}
      </ul>
      <p class="lamps-text">{sentence(known !== undefined)}</p>
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
