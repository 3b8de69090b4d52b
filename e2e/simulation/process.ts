import { defaultRetryPolicy, type RetryPolicy } from "@distributed-messaging/messaging";
import type { PartitionLog } from "./broker-log.ts";
import { Disk } from "./disk.ts";
import { HandlerWatch } from "./handler-watch.ts";
import { Incarnation } from "./incarnation.ts";
import type { ServiceMutation } from "./mutation.ts";
import { ProcessRuntime, type WallClock } from "./process-runtime.ts";
import { assemble, type Running, type ServiceDefinition, type Surroundings } from "./service.ts";
import { connectStorage, isSqliteError } from "./storage.ts";

export type { Running, ServiceDefinition, Surroundings } from "./service.ts";

/** Longer than any send may take: a stop that is not over by then never will be. */
const STOP_DEADLINE_MS = 30_000;
/** Half of the services do not wait long before they give a message up. */
const QUICK_RETRY: RetryPolicy = { backoff: { firstMs: 20, mostMs: 1_000 }, attempts: 10 };

/** One service: its file, and the process that comes and goes. */
export class Process<Parts> {
  readonly name: string;
  readonly disk: Disk;
  readonly handlerWatch: HandlerWatch;
  readonly clock: WallClock = { offsetMs: 0 };
  /** The service, while it is up. */
  running: Running<Parts> | undefined;
  crashes = 0;
  /** What it reads, and the types of message that it handles. */
  readonly topics = new Set<string>();
  readonly types = new Set<string>();
  readonly #definition: ServiceDefinition<Parts>;
  readonly #surroundings: Surroundings;
  readonly #mutation: ServiceMutation;
  readonly #retry: RetryPolicy;
  /** The process, up or about to be. */
  #life: Incarnation | undefined;
  #cancelStart = () => {};

  constructor(definition: ServiceDefinition<Parts>, surroundings: Surroundings, mutation: ServiceMutation) {
    this.name = definition.composition.name;
    this.#definition = definition;
    this.#surroundings = surroundings;
    this.#mutation = mutation;
    this.#retry = surroundings.prng.chance(0.5) ? defaultRetryPolicy : QUICK_RETRY;
    this.handlerWatch = new HandlerWatch({ service: this.name, ...surroundings });
    this.disk = new Disk(this.name, definition.composition.migrations, mutation);
  }

  start(): void {
    this.#cancelStart();
    if (this.#life !== undefined) return;
    this.#surroundings.trace.note(this.name, "starts");
    const life = new Incarnation(this.name, (step) => this.crash(step));
    this.#life = life;
    try {
      const running = this.#assemble(life);
      if (!life.alive) return;
      this.running = running;
      running.messaging.start();
      running.rebuild?.resume();
      running.started().catch((error: unknown) => {
        if (life.alive) this.crash(`could not start: ${String(error)}`);
      });
    } catch (error) {
      if (!life.alive) return;
      if (!isSqliteError(error)) throw error;
      // Main says why and exits with 1.
      this.crash(`could not start: ${String(error)}`);
    }
  }

  /** Dies with everything that was not on disk, and is started again after a while. */
  crash(step: string, downMs = this.#surroundings.prng.exponential(300)): void {
    if (this.#life === undefined) return;
    this.crashes += 1;
    this.#surroundings.trace.note(this.name, `crashes: ${step}`);
    this.#end(this.#life);
    this.disk.loseUncommitted();
    this.#startAfter(downMs);
  }

  /** Stops in good order, and is started again after a while. */
  restart(downMs: number): void {
    const { running } = this;
    if (running === undefined || running.stopping) return;
    const { scheduler, trace, violation } = this.#surroundings;
    const { incarnation } = running;
    running.stopping = true;
    trace.note(this.name, "is told to stop");
    const cancelDeadline = scheduler.after(
      STOP_DEADLINE_MS,
      () => violation(`${this.name} does not stop within ${STOP_DEADLINE_MS} ms`),
      incarnation,
    );
    const stop = async () => {
      await running.rebuild?.stop();
      await running.messaging.stop();
      cancelDeadline();
      if (!incarnation.alive) return;
      trace.note(this.name, "has stopped");
      this.#end(incarnation);
      this.#startAfter(downMs);
    };
    stop().catch((error: unknown) => violation(`${this.name} could not be stopped: ${String(error)}`));
  }

  /** Whether it has handled all of these partitions, or does not read them. */
  hasRead(partitions: readonly PartitionLog[]): boolean {
    return partitions.every((log) => !this.topics.has(log.topic) || this.disk.hasHandled(log));
  }

  close(): void {
    if (this.#life !== undefined) this.#end(this.#life);
    this.disk.close();
  }

  #assemble(incarnation: Incarnation): Running<Parts> {
    const { scheduler, network, faults, prng, trace, committed, violation } = this.#surroundings;
    const runtime = new ProcessRuntime({ scheduler, incarnation, clock: this.clock, faults, prng });
    const database = connectStorage({
      raw: this.disk.database,
      incarnation,
      faults,
      prng,
      mutation: this.#mutation,
      committed: () => committed(this.name),
      writtenAlone: (sql) => violation(`${this.name} writes outside of a transaction: ${sql}`),
    });
    const connection = network.connect(incarnation);
    const transport = this.#mutation.transport?.(connection) ?? connection;
    const { handlerWatch } = this;
    const parts = { incarnation, database, transport, runtime, handlerWatch, retry: this.#retry, trace };
    const running = assemble(this.#definition, parts);
    for (const { definition } of running.handlers) {
      this.topics.add(definition.topic.name);
      this.types.add(definition.type);
    }
    return running;
  }

  #end(incarnation: Incarnation): void {
    incarnation.alive = false;
    this.#life = undefined;
    this.running = undefined;
    this.#surroundings.network.disconnect(incarnation);
  }

  #startAfter(downMs: number): void {
    this.#cancelStart();
    this.#cancelStart = this.#surroundings.scheduler.after(downMs, () => this.start());
  }
}
