import { type DeadLetter, DeadLetterRefusal, StorageError } from "@distributed-messaging/messaging";
import { POISON_HEADER } from "./poison.ts";
import type { Process, Running, Surroundings } from "./process.ts";
import { isSqliteError } from "./storage.ts";

const LIST_LIMIT = 50;
/** How often one letter is replayed while the code is not mended: below what the kit allows. */
const MOST_TRIES = 3;

/**
 * Somebody who looks at the services' dead letters now and then and does something about one of them: throws
 * away what is poison, and sends everything else on its way again. As the routes of the services would do it.
 */
export class Operator {
  readonly #surroundings: Surroundings;
  readonly #tries = new Map<string, number>();

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** Takes up any letter, whether that makes sense or not. */
  tryOne(process: Process<unknown>): void {
    this.#tend(process, (letters) => {
      const patient = letters.filter(
        ({ id }) => (this.#tries.get(`${process.name} ${id}`) ?? 0) < MOST_TRIES,
      );
      return patient.length === 0 ? undefined : this.#surroundings.prng.pick(patient);
    });
  }

  /** Takes up the first letter that waits for nobody. */
  tidyUp(process: Process<unknown>): void {
    this.#tend(process, (letters) => letters.find(({ reason }) => reason !== "blocked"));
  }

  /** Has a service make its copies anew, if it has any. */
  rebuild({ running, name }: Process<unknown>, dropUnaccounted: boolean): void {
    if (running?.rebuild === undefined || running.stopping) return;
    this.#surroundings.trace.note("operator", `has ${name} make its copies anew`);
    running.rebuild.begin(dropUnaccounted).catch((error: unknown) => this.#failed(running, error));
  }

  #tend(process: Process<unknown>, choose: (letters: readonly DeadLetter[]) => DeadLetter | undefined): void {
    const { running, name } = process;
    if (running === undefined || running.stopping) return;
    const failed = (error: unknown) => this.#failed(running, error);
    try {
      const letter = choose(running.messaging.deadLetterAdmin.list({ limit: LIST_LIMIT }));
      if (letter === undefined) return;
      const { id, topic, key, reason } = letter;
      this.#surroundings.trace.note("operator", `takes up ${id} of ${name}: ${topic} ${key}, ${reason}`);
      this.#tries.set(`${name} ${id}`, (this.#tries.get(`${name} ${id}`) ?? 0) + 1);
      this.#deal(running, letter).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  async #deal({ messaging }: Running<unknown>, { id, value, headers }: DeadLetter): Promise<void> {
    const desk = messaging.deadLetterAdmin;
    if (POISON_HEADER in headers) return desk.discard(id, "poison", "operator");
    if (value !== null && this.#surroundings.prng.chance(0.3)) await desk.edit(id, value, "operator");
    await desk.replay([id], "operator");
  }

  #failed({ incarnation, stopping }: Running<unknown>, error: unknown): void {
    if (!incarnation.alive || stopping) return;
    const { trace, violation } = this.#surroundings;
    trace.note("operator", `could not: ${String(error)}`);
    // What SQLite says of a read that failed comes through as it is: the route answers 500.
    if (error instanceof DeadLetterRefusal || error instanceof StorageError || isSqliteError(error)) return;
    violation(`an operator's request to ${incarnation.process} failed: ${String(error)}`);
  }
}
