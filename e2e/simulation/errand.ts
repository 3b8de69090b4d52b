import type { Transaction } from "@distributed-messaging/messaging";
import { type Answer, ask } from "./client.ts";
import type { Prng } from "./prng.ts";
import type { Process, Running, Surroundings } from "./process.ts";
import type { GatewayParts } from "./services.ts";

const RETRY_MS = 400;

/** What an errand needs of the world. */
export interface Town {
  readonly surroundings: Surroundings;
  readonly gateway: Process<GatewayParts>;
}

/** Somebody's way to one end, over as many requests as it takes. */
export abstract class Errand {
  protected readonly town: Town;
  protected readonly prng: Prng;
  #open = 0;

  constructor(town: Town, prng: Prng) {
    this.town = town;
    this.prng = prng;
  }

  abstract begin(): void;

  /** Begins after a while. */
  plan(afterMs: number): void {
    this.#open += 1;
    this.town.surroundings.scheduler.after(afterMs, () => {
      this.begin();
      this.#open -= 1;
    });
  }

  /** Nothing more will be asked. */
  get done(): boolean {
    return this.#open === 0;
  }

  protected violation(text: string): void {
    this.town.surroundings.violation(text);
  }

  /** Asks the gateway once. */
  protected request<Value>(
    who: string,
    what: string,
    work: (running: Running<GatewayParts>, transaction: Transaction) => Value,
    answered: (answer: Answer<Value>) => void,
  ): void {
    const { surroundings, gateway } = this.town;
    this.#open += 1;
    surroundings.trace.note(who, `asks ${what}`);
    ask(surroundings, gateway, work, (answer) => {
      const heard = answer.kind === "refused" ? answer.error.code : answer.kind;
      surroundings.trace.note(who, `hears ${heard} of ${what}`);
      answered(answer);
      this.#open -= 1;
    });
  }

  protected later(action: () => void, meanMs = RETRY_MS): void {
    this.#open += 1;
    this.town.surroundings.scheduler.after(this.prng.exponential(meanMs), () => {
      action();
      this.#open -= 1;
    });
  }
}
