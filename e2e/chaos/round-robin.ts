import type { ServiceName } from "@distributed-messaging/services/registry";
import type { ProcessState } from "@distributed-messaging/supervisor/reports";
import type { Instance } from "@distributed-messaging/supervisor/store";
import type { OwnStore } from "../support/own-store.ts";

/** One that is paused does not say so: its clients wait, and give up. */
const CHOSEN: readonly ProcessState[] = ["ready", "paused"];

/** Chooses one instance of a service after the other, as a load balancer does, and none that is not ready. */
export class RoundRobin {
  readonly #store: Pick<OwnStore, "supervisor">;
  readonly #service: ServiceName;
  #turn = 0;

  constructor(store: Pick<OwnStore, "supervisor">, service: ServiceName) {
    this.#store = store;
    this.#service = service;
  }

  /** Undefined when none is ready. */
  next(): Instance | undefined {
    const { supervisor } = this.#store;
    const chosen = supervisor.instances.filter(
      ({ name, service }) => service === this.#service && CHOSEN.includes(supervisor.process(name).state),
    );
    return chosen[this.#turn++ % chosen.length];
  }
}
