import { type DeadLetter, DeadLetterRefusal, StorageError } from "@distributed-messaging/messaging";
import { POISON_HEADER } from "./poison.ts";
import type { Process, Surroundings } from "./process.ts";
import { isSqliteError } from "./storage.ts";

const LIST_LIMIT = 50;
const ME = "operator";

/**
 * Looks at a service's dead letters and does something about one of them: throws away what is poison, and
 * sends everything else on its way again. As the routes of the service would do it.
 *
 * @param choose picks one of those that wait for nobody
 */
export function tend(
  surroundings: Surroundings,
  { running, name }: Process<unknown>,
  choose: (letters: readonly DeadLetter[]) => DeadLetter | undefined,
): void {
  if (running === undefined || running.stopping) return;
  const { trace, prng } = surroundings;
  const desk = running.messaging.deadLetterDesk;
  const onFailure = (error: unknown) => {
    if (!running.incarnation.alive || running.stopping) return;
    trace.note(ME, `could not: ${String(error)}`);
    // What SQLite says of a read that failed comes through as it is: the route answers 500.
    const expected =
      error instanceof DeadLetterRefusal || error instanceof StorageError || isSqliteError(error);
    if (!expected) surroundings.violation(`an operator's request to ${name} failed: ${String(error)}`);
  };
  try {
    const letter = choose(desk.list({ limit: LIST_LIMIT }));
    if (letter === undefined) return;
    trace.note(ME, `takes up ${letter.id} of ${name}: ${letter.topic} ${letter.key}, ${letter.reason}`);
    if (POISON_HEADER in letter.headers) {
      desk.discard(letter.id, "poison", ME).catch(onFailure);
    } else {
      const edited =
        prng.chance(0.3) && letter.value !== null
          ? desk.edit(letter.id, letter.value, ME)
          : Promise.resolve();
      edited.then(() => desk.replay([letter.id], ME)).catch(onFailure);
    }
  } catch (error) {
    onFailure(error);
  }
}

/** Whether a letter waits for nobody. */
export function isHead({ reason }: DeadLetter): boolean {
  return reason !== "behind";
}
