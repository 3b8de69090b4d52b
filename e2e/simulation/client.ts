import { type Cause, StorageError, type Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { Crashed } from "./incarnation.ts";
import type { Process, Running, Surroundings } from "./process.ts";

/** What a client learns of its request. `none`: it cannot tell whether anything happened. */
export type Answer<Value> =
  | { readonly kind: "done"; readonly value: Value }
  | { readonly kind: "refused"; readonly error: ServiceError }
  | { readonly kind: "unavailable" }
  | { readonly kind: "none" };

/** How long a client waits for an answer. */
const TIMEOUT_MS = 2_000;
/** As at the gateway's routes, but low enough to be reached. */
const OUTBOX_LIMIT = 60;

/**
 * Sends a request to a service and takes its answer, both over a wire that may lose them: the way of an HTTP
 * request, without the HTTP. The work runs as the route would run it.
 *
 * @param answered called once, also when no answer comes
 */
export function ask<Parts, Value>(
  surroundings: Surroundings,
  process: Process<Parts>,
  work: (running: Running<Parts>, transaction: Transaction) => Value,
  answered: (answer: Answer<Value>) => void,
): void {
  const { scheduler, network, faults, prng } = surroundings;
  let open = true;
  const answer = (value: Answer<Value>) => {
    if (!open) return;
    open = false;
    cancelTimeout();
    answered(value);
  };
  const cancelTimeout = scheduler.after(TIMEOUT_MS, () => answer({ kind: "none" }));
  const reply = (value: Answer<Value>) => {
    if (!faults.strikes("answerLost")) scheduler.after(network.latencyMs(), () => answer(value));
  };
  // Requests that are sent together arrive together, now and then.
  scheduler.after(prng.chance(0.3) ? 1 : network.latencyMs(), () => {
    const { running } = process;
    if (running === undefined || running.stopping) reply({ kind: "none" });
    else carryOut(surroundings, process, running, work, reply);
  });
}

function carryOut<Parts, Value>(
  surroundings: Surroundings,
  process: Process<Parts>,
  running: Running<Parts>,
  work: (running: Running<Parts>, transaction: Transaction) => Value,
  reply: (answer: Answer<Value>) => void,
): void {
  const { messaging, incarnation, newId } = running;
  try {
    if (messaging.outbox.depth() >= OUTBOX_LIMIT) {
      reply({ kind: "unavailable" });
      return;
    }
  } catch {
    // A read that failed: the route answers 500.
    if (incarnation.alive) reply({ kind: "unavailable" });
    return;
  }
  const requestId = newId();
  const cause: Cause = { correlationId: requestId, causationId: requestId };
  messaging.unitOfWork
    .run((transaction): unknown => work(running, transaction), cause)
    .then(
      (value) => {
        // What the work returned, and run() resolves to.
        if (incarnation.alive) reply({ kind: "done", value: value as Value });
      },
      (error: unknown) => {
        if (!incarnation.alive || error instanceof Crashed) return;
        if (error instanceof ServiceError) reply({ kind: "refused", error });
        else if (error instanceof StorageError) reply({ kind: "unavailable" });
        else surroundings.violation(`a request to ${process.name} failed: ${String(error)}`);
      },
    );
}
