import {
  type DeadLetter,
  DeadLetterRefusal,
  PartitionRefusal,
  type PartitionStop,
  StorageError,
} from "@distributed-messaging/messaging";
import { hasHandled } from "./ledger.ts";
import { POISON_HEADER } from "./poison.ts";
import type { Environment, Process, Running } from "./process.ts";
import { isSqliteError } from "./storage.ts";

const SAFE_ALWAYS = ["park-older"] as const;
const SAFE_IF_HANDLED = ["skip-older", "park-older"] as const;
const LIST_LIMIT = 50;
/** How often one dead letter is replayed before its handler is repaired: less often than the kit allows. */
const MAX_REPLAYS = 3;

/** Discards dead letters that are poison, replays others, and starts rebuilds, as the services' routes do. */
export class Operator {
  readonly #environment: Environment;
  readonly #replays = new Map<string, number>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Resolves a random dead letter, also a blocked one. */
  resolveAny(process: Process<unknown>): void {
    this.#resolve(process, (letters) => {
      const left = letters.filter(
        ({ id }) => (this.#replays.get(`${process.name} ${id}`) ?? 0) < MAX_REPLAYS,
      );
      return left.length === 0 ? undefined : this.#environment.prng.pick(left);
    });
  }

  /** Lets dead effects be tried again: three processes may have ended during one. */
  retryEffects({ running }: Process<unknown>): void {
    if (running === undefined || running.stopping || running.messaging.effects.counts().dead === 0) return;
    running.messaging.effectAdmin
      .retryAll(undefined, "operator")
      .catch((error: unknown) => this.#failed(running, error));
  }

  /** Resolves the first dead letter that is not blocked by another one. */
  resolveFirst(process: Process<unknown>): void {
    this.#resolve(process, (letters) => letters.find(({ reason }) => reason !== "blocked"));
  }

  /** Sends the outgoing records again that the broker has refused. */
  retryOutgoing({ running, name }: Process<unknown>): void {
    if (running === undefined || running.stopping) return;
    const failed = (error: unknown) => this.#failed(running, error);
    try {
      if (running.messaging.parked.count() === 0) return;
      this.#environment.trace.note("operator", `retries the parked outgoing records of ${name}`);
      running.messaging.outboxAdmin.retryAll(undefined, "operator").catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Decides about partitions that are stopped because their log is read anew, as one who knows what was handled. */
  resolveStops(process: Process<unknown>): void {
    const { running, name } = process;
    if (running === undefined || running.stopping) return;
    const { prng, trace } = this.#environment;
    const stops = running.messaging.partitionStops;
    const failed = (error: unknown) => this.#failed(running, error);
    try {
      for (const stop of stops.list()) {
        const { topic, partition, reason } = stop;
        const action = prng.pick(this.#allHandled(process, stop) ? SAFE_IF_HANDLED : SAFE_ALWAYS);
        trace.note("operator", `${action} at ${name}: ${topic}/${partition} is stopped, ${reason}`);
        stops.decide(stop, action, "simulated", "operator").catch(failed);
      }
    } catch (error) {
      failed(error);
    }
  }

  /** Whether a service has handled all messages of a partition that it takes. */
  #allHandled({ disk, types }: Process<unknown>, { topic, partition }: PartitionStop): boolean {
    const records = this.#environment.broker.partitionsOf(topic)[partition]?.records ?? [];
    return records
      .filter(({ headers }) => !(POISON_HEADER in headers))
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as { id: string; type: string })
      .every(({ id, type }) => !types.has(type) || hasHandled(disk.database, id));
  }

  /** Rebuilds the service's projections, if it has any. */
  rebuild({ running, name }: Process<unknown>, dropUnaccounted: boolean): void {
    if (running?.rebuild === undefined || running.stopping) return;
    this.#environment.trace.note("operator", `starts a rebuild at ${name}`);
    running.rebuild.begin(dropUnaccounted).catch((error: unknown) => this.#failed(running, error));
  }

  #resolve(
    process: Process<unknown>,
    choose: (letters: readonly DeadLetter[]) => DeadLetter | undefined,
  ): void {
    const { running, name } = process;
    if (running === undefined || running.stopping) return;
    const failed = (error: unknown) => this.#failed(running, error);
    try {
      const letter = choose(running.messaging.deadLetterAdmin.list({ limit: LIST_LIMIT }));
      if (letter === undefined) return;
      const { id, topic, key, reason } = letter;
      this.#environment.trace.note("operator", `resolves ${id} at ${name}: ${topic} ${key}, ${reason}`);
      this.#replays.set(`${name} ${id}`, (this.#replays.get(`${name} ${id}`) ?? 0) + 1);
      this.#discardOrReplay(process, running, letter).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  async #discardOrReplay(
    { disk }: Process<unknown>,
    { messaging }: Running<unknown>,
    { id, value, headers }: DeadLetter,
  ): Promise<void> {
    const admin = messaging.deadLetterAdmin;
    if (POISON_HEADER in headers) return admin.discard(id, "poison", "operator");
    const message = JSON.parse(Buffer.from(value ?? []).toString()) as { id: string };
    if (hasHandled(disk.database, message.id)) return admin.discard(id, "handled before", "operator");
    if (value !== null && this.#environment.prng.chance(0.3)) await admin.edit(id, value, "operator");
    await admin.replay([id], "operator");
  }

  #failed({ incarnation, stopping }: Running<unknown>, error: unknown): void {
    if (!incarnation.alive || stopping) return;
    const { trace, violation } = this.#environment;
    trace.note("operator", `failed: ${String(error)}`);
    // The error of a read that failed is passed on: the route answers 500.
    if (
      error instanceof DeadLetterRefusal ||
      error instanceof PartitionRefusal ||
      error instanceof StorageError ||
      isSqliteError(error)
    )
      return;
    violation(`a request of the operator to ${incarnation.process} failed: ${String(error)}`);
  }
}
