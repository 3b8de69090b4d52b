import { topics } from "@distributed-messaging/contracts";
import {
  type DeadLetter,
  DeadLetterRefusal,
  type IncomingRecord,
  NotOwner,
  PartitionRefusal,
  type PartitionStop,
  type StopAction,
  StorageError,
} from "@distributed-messaging/messaging";
import { discardedBy, hasHandled } from "./ledger.ts";
import { genuineIdOf, lostBy, OPERATOR } from "./losses.ts";
import type { Environment, Running, SimulatedService } from "./simulated-service.ts";
import { isSqliteError } from "./storage.ts";

const SAFE_ALWAYS = ["park-older"] as const;
const SAFE_IF_HANDLED = ["skip-older", "park-older"] as const;
/** Mean time between a look at a stopped partition and the decision. */
const DECIDED_AFTER_MS = 1_500;
const RESUME_CHANCE = 0.3;
const TWICE_CHANCE = 0.3;
const WHILE_RESTARTING_CHANCE = 0.2;
/** Commands that cannot be handled may be discarded; the effects of events are needed. */
const commandTopics: ReadonlySet<string> = new Set([
  topics.orderCommands.name,
  topics.inventoryCommands.name,
]);
const DISCARD_CHANCE = 0.5;
const LIST_LIMIT = 50;
/** How often one dead letter is replayed before its handler is repaired: less often than the kit allows. */
const MAX_REPLAYS = 3;

/** What the operator decided about a stop, as it was when the operator looked at it. */
interface Decision extends Pick<PartitionStop, "topic" | "partition" | "reason" | "offset" | "nextOffset"> {
  readonly service: string;
  readonly action: StopAction;
}

/**
 * Discards dead letters that are poison, replays others, decides about stopped partitions, and starts rebuilds, as the
 * services' routes do.
 */
export class Operator {
  /** Whether they took effect or not. */
  readonly decisions: Decision[] = [];
  readonly #environment: Environment;
  readonly #removed: readonly IncomingRecord[];
  readonly #replays = new Map<string, number>();

  /** @param removed every record that retention has removed */
  constructor(environment: Environment, removed: readonly IncomingRecord[]) {
    this.#environment = environment;
    this.#removed = removed;
  }

  /** Resolves a random dead letter, also a blocked one. */
  resolveAny(process: SimulatedService<unknown>): void {
    this.#resolve(process, (letters) => {
      const left = letters.filter(
        ({ id }) => (this.#replays.get(`${process.name} ${id}`) ?? 0) < MAX_REPLAYS,
      );
      return left.length === 0 ? undefined : this.#environment.prng.pick(left);
    });
  }

  /** Lets dead effects be tried again: three processes may have ended during one. */
  retryEffects({ running }: SimulatedService<unknown>): void {
    if (running === undefined || running.stopping || running.messaging.effects.counts().dead === 0) return;
    running.messaging.effectAdmin
      .retryAll(undefined, OPERATOR)
      .catch((error: unknown) => this.#failed(running, error));
  }

  /** Resolves the first dead letter that is not blocked by another one. */
  resolveFirst(process: SimulatedService<unknown>): void {
    this.#resolve(process, (letters) => letters.find(({ reason }) => reason !== "blocked"));
  }

  /** Starts a process again that was refused because its owner seemed to live: a late copy of a claim looks like an answer. */
  restartRefused(process: SimulatedService<unknown>): void {
    const ownership = process.running?.messaging.ownership();
    if (ownership?.state !== "refused" || ownership.reason !== "running-elsewhere") return;
    this.#environment.trace.note("operator", `starts ${process.name} again, which was refused`);
    process.restart(0);
  }

  /** Sends the outgoing records again that the broker has refused. */
  retryOutgoing({ running, name }: SimulatedService<unknown>): void {
    if (running === undefined || running.stopping) return;
    const failed = (error: unknown) => this.#failed(running, error);
    try {
      if (running.messaging.parked.count() === 0) return;
      this.#environment.trace.note("operator", `retries the parked outgoing records of ${name}`);
      running.messaging.outboxAdmin.retryAll(undefined, OPERATOR).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Decides at once how every stopped partition of a service goes on. */
  resolveStops(process: SimulatedService<unknown>): void {
    for (const stop of this.#stopsOf(process)) this.#decide(process, stop, this.#actionFor(process, stop));
  }

  /** Looks at one stopped partition and decides later, sometimes twice, sometimes while the process restarts. */
  lookAtStops(process: SimulatedService<unknown>): void {
    const { prng, scheduler } = this.#environment;
    const stops = this.#stopsOf(process);
    if (stops.length === 0) return;
    const stop = prng.pick(stops);
    const isResumed = stop.reason !== "unverifiable" && prng.chance(RESUME_CHANCE);
    const action = isResumed ? "resume" : this.#actionFor(process, stop);
    const decideLater = () =>
      scheduler.after(prng.exponential(DECIDED_AFTER_MS), () => {
        this.#decide(process, stop, action);
        if (prng.chance(WHILE_RESTARTING_CHANCE)) process.restart(0);
      });
    decideLater();
    if (prng.chance(TWICE_CHANCE)) decideLater();
  }

  #stopsOf({ running }: SimulatedService<unknown>): PartitionStop[] {
    if (running === undefined || running.stopping) return [];
    try {
      return running.messaging.partitionStops.list();
    } catch (error) {
      this.#failed(running, error);
      return [];
    }
  }

  /** As one decides who knows what was handled. */
  #actionFor(process: SimulatedService<unknown>, stop: PartitionStop): StopAction {
    if (stop.reason !== "unverifiable") return "skip";
    return this.#environment.prng.pick(this.#allHandled(process, stop) ? SAFE_IF_HANDLED : SAFE_ALWAYS);
  }

  #decide({ running, name }: SimulatedService<unknown>, stop: PartitionStop, action: StopAction): void {
    if (running === undefined || running.stopping) return;
    const { topic, partition, reason, offset, nextOffset } = stop;
    this.#environment.trace.note(
      "operator",
      `${action} at ${name}: ${topic}/${partition} at ${offset}, ${reason}`,
    );
    this.decisions.push({ service: name, topic, partition, reason, offset, nextOffset, action });
    running.messaging.partitionStops
      .decide(stop, action, "simulated", OPERATOR)
      .catch((error: unknown) => this.#failed(running, error));
  }

  /** Whether a service has handled all messages of a partition that it takes. */
  #allHandled(process: SimulatedService<unknown>, { topic, partition }: PartitionStop): boolean {
    const records = this.#environment.broker.partitionsOf(topic)[partition]?.records ?? [];
    return records
      .filter((record) => genuineIdOf(record) !== undefined)
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as { id: string; type: string })
      .every(({ id, type }) => !process.types.has(type) || isDone(process, id));
  }

  /** Rebuilds the service's projections, if it has any. */
  rebuild({ running, name }: SimulatedService<unknown>, dropUnaccounted: boolean): void {
    if (running?.rebuild === undefined || running.stopping) return;
    this.#environment.trace.note("operator", `starts a rebuild at ${name}`);
    running.rebuild.begin(dropUnaccounted).catch((error: unknown) => this.#failed(running, error));
  }

  #resolve(
    process: SimulatedService<unknown>,
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
    process: SimulatedService<unknown>,
    { messaging }: Running<unknown>,
    letter: DeadLetter,
  ): Promise<void> {
    const { broker, prng } = this.#environment;
    const admin = messaging.deadLetterAdmin;
    const { id, value } = letter;
    const messageId = genuineIdOf(letter);
    if (messageId === undefined) return admin.discard(id, "poison", OPERATOR);
    if (isDone(process, messageId)) return admin.discard(id, "handled or discarded before", OPERATOR);
    if (this.#isHopeless(process, letter)) return admin.discard(id, "what it refers to is lost", OPERATOR);
    if (commandTopics.has(letter.topic) && prng.chance(DISCARD_CHANCE)) {
      // A copy follows, as after a send whose response was lost.
      broker.store([letter]);
      return admin.discard(id, "it is not wanted any more", OPERATOR);
    }
    if (value !== null && prng.chance(0.3)) await admin.edit(id, value, OPERATOR);
    await admin.replay([id], OPERATOR);
  }

  /** A command that was refused, after an earlier one of its key was lost. */
  #isHopeless(process: SimulatedService<unknown>, { reason, topic, key }: DeadLetter): boolean {
    if (reason !== "domain" || !commandTopics.has(topic)) return false;
    return lostBy(process, this.#removed).some((lost) => lost.topic === topic && lost.key === key);
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
      error instanceof NotOwner ||
      isSqliteError(error)
    )
      return;
    violation(`a request of the operator to ${incarnation.process} failed: ${String(error)}`);
  }
}

/** Whether a message was handled or discarded: it must not take effect any more. */
function isDone({ disk }: SimulatedService<unknown>, id: string): boolean {
  return hasHandled(disk.database, id) || discardedBy(disk.database).some((discarded) => discarded.id === id);
}
