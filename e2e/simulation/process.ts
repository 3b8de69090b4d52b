import {
  defaultRetryPolicy,
  type Logger,
  NotOwner,
  type RetryPolicy,
  type Runtime,
  type Transport,
} from "@distributed-messaging/messaging";
import { type Assembled, assemble, type Composition } from "@distributed-messaging/service/composition";
import { type CommonConfig, loadConfig } from "@distributed-messaging/service/config";
import type { PartitionLog, SimulatedBroker } from "./broker.ts";
import type { Faults } from "./faults.ts";
import { InstrumentedHandlers } from "./handlers.ts";
import type { SeededFault } from "./mutants.ts";
import type { Prng } from "./prng.ts";
import { Incarnation, type Scheduler, type Trace } from "./scheduler.ts";
import { connect, Disk, isSqliteError } from "./storage.ts";

/** Virtual time starts at 2026-01-01T00:00:00Z in every run. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
/** The most by which one slow step advances the monotonic clock. */
const MAX_SLOW_MS = 40;
const MAX_SOON_MS = 1.5;
/** Longer than any publish takes: a stop that is not done by then never is. */
const STOP_TIMEOUT_MS = 30_000;
/** A process is paused for so long at a time, while another one takes its place. */
const HOLD_MS = 100;
/** After so long, a group coordinator has not heard of a paused process. */
const SESSION_MS = 10_000;
/** Mean time until a process that crashed or stopped is started again. */
export const DOWN_MS = 300;
/** The policy of half of the services: a message is parked soon. */
const QUICK_RETRY: RetryPolicy = { backoff: { firstMs: 20, mostMs: 1_000 }, attempts: 10 };

/** Everything that the processes of a run share. */
export interface Environment {
  readonly scheduler: Scheduler;
  readonly broker: SimulatedBroker;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  /** Reports that something happened which must never happen. */
  violation(text: string): void;
  /** Called after every COMMIT of a service. */
  committed(service: string): void;
}

/** A service as it is simulated. */
export interface ServiceDefinition<Parts> {
  readonly composition: Composition<CommonConfig, Parts>;
  /** Settings that differ from their defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** Replaces what the composition does at every start. A rejection ends the process. */
  started?(running: Running<Parts>): Promise<unknown>;
}

/** A service while its process runs. */
export interface Running<Parts> extends Assembled<Parts> {
  readonly incarnation: Incarnation;
  readonly newId: () => string;
  stopping: boolean;
}

/** A service: its database file, and its process, which is started again whenever it has ended. */
export class Process<Parts> {
  readonly name: string;
  /** The one that is the service. */
  disk: Disk;
  readonly instrumented: InstrumentedHandlers;
  /** Milliseconds by which the wall clock differs from virtual time. */
  clockOffsetMs = 0;
  /** Whether the process that runs has owned the service. */
  owns = false;
  crashes = 0;
  /** The topics that the service reads, and the message types that it handles. */
  readonly topics = new Set<string>();
  readonly types = new Set<string>();
  readonly #definition: ServiceDefinition<Parts>;
  readonly #environment: Environment;
  readonly #mutant: SeededFault;
  readonly #retry: RetryPolicy;
  /** The process that runs or starts. */
  #incarnation: Incarnation | undefined;
  #running: Running<Parts> | undefined;
  #cancelStart = () => {};
  /** Processes whose place another one has taken while they were paused. */
  readonly #former = new Map<Incarnation, Disk>();
  /** Files that are not the service, whether a process runs on them or not. */
  readonly #left = new Set<Disk>();
  /** Second processes beside the one that runs. */
  readonly #others = new Map<Incarnation, Disk>();

  constructor(definition: ServiceDefinition<Parts>, environment: Environment, mutant: SeededFault) {
    this.name = definition.composition.name;
    this.#definition = definition;
    this.#environment = environment;
    this.#mutant = mutant;
    this.#retry = environment.prng.chance(0.5) ? defaultRetryPolicy : QUICK_RETRY;
    this.instrumented = new InstrumentedHandlers({ service: this.name, mutant, ...environment });
    this.disk = this.emptyDisk();
  }

  /** Its file as it is now, in another place. */
  copyDisk(): Disk {
    const copy = this.disk.copy();
    this.#left.add(copy);
    return copy;
  }

  /** Undefined while the process is down, or paused: it answers nobody. */
  get running(): Running<Parts> | undefined {
    const isPaused = (this.#incarnation?.pausedUntilMs ?? 0) > this.#environment.scheduler.nowMs;
    return isPaused ? undefined : this.#running;
  }

  emptyDisk(): Disk {
    return Disk.create(this.name, this.#definition.composition.migrations, this.#mutant);
  }

  start(): void {
    this.#cancelStart();
    if (this.#incarnation !== undefined) return;
    this.#environment.trace.note(this.name, "starts");
    const incarnation: Incarnation = new Incarnation(this.name, (cause) => this.#crashOf(incarnation, cause));
    this.#incarnation = incarnation;
    this.owns = false;
    const running = this.#run(incarnation, this.disk, () => {
      if (incarnation === this.#incarnation) this.owns = true;
    });
    if (incarnation === this.#incarnation) this.#running = running;
  }

  /** Composes and starts the service. @returns undefined if the process has ended by then */
  #run(incarnation: Incarnation, disk: Disk, owned: () => void): Running<Parts> | undefined {
    try {
      const running = this.#compose(incarnation, disk, owned);
      if (!incarnation.alive) return undefined;
      running.messaging.start();
      running.rebuild?.resume();
      this.#started(running).catch((error: unknown) => {
        if (!(error instanceof NotOwner)) incarnation.crash(`failed to start: ${String(error)}`);
      });
      return running;
    } catch (error) {
      if (!incarnation.alive) return undefined;
      if (!isSqliteError(error)) throw error;
      // `main.ts` logs the error and exits with 1.
      incarnation.crash(`failed to start: ${String(error)}`);
      return undefined;
    }
  }

  /** Ends the process and everything that was not committed. It starts again later. */
  crash(cause: string, downMs = this.#environment.prng.exponential(DOWN_MS)): void {
    if (this.#incarnation === undefined) return;
    this.crashes += 1;
    this.#environment.trace.note(this.name, `crashes: ${cause}`);
    this.#end(this.#incarnation);
    this.disk.rollBack();
    this.#startAfter(downMs);
  }

  #crashOf(incarnation: Incarnation, cause: string): void {
    const disk = this.#others.get(incarnation) ?? this.#former.get(incarnation);
    if (incarnation === this.#incarnation) this.crash(cause);
    else if (disk !== undefined) this.#endOther(incarnation, disk);
  }

  /** The process does nothing for some time, and does not know of it. */
  pause(forMs: number): void {
    const { scheduler, trace } = this.#environment;
    if (this.#incarnation === undefined || this.#running?.stopping === true) return;
    trace.note(this.name, `is paused for ${Math.round(forMs)} ms`);
    this.#incarnation.pausedUntilMs = scheduler.nowMs + forMs;
    this.#expireSessionsOf(this.#incarnation);
    this.endOthers();
  }

  #expireSessionsOf(paused: Incarnation): void {
    const { scheduler, broker } = this.#environment;
    scheduler.after(SESSION_MS, () => {
      if (paused.alive && paused.pausedUntilMs > scheduler.nowMs) broker.expireSessions(paused);
    });
  }

  /**
   * The process is paused, and another one takes its place, on a copy of its file in another place. The paused one is woken
   * once the other owns the service.
   *
   * @param wokenAfterMs from then on
   */
  replace(wokenAfterMs: number): void {
    const { scheduler, trace } = this.#environment;
    const paused = this.#incarnation;
    if (paused === undefined) return;
    trace.note(this.name, "is paused, and its file goes on elsewhere");
    this.#forget();
    this.#former.set(paused, this.disk);
    this.#expireSessionsOf(paused);
    this.disk = this.disk.copy();
    const hold = (untilMs: number) => {
      paused.pausedUntilMs = untilMs;
      if (untilMs <= scheduler.nowMs) return;
      scheduler.after(HOLD_MS / 2, () => {
        if (!this.owns || this.#incarnation === paused) hold(scheduler.nowMs + HOLD_MS);
        else {
          trace.note(this.name, "the paused process is woken");
          paused.pausedUntilMs = scheduler.nowMs + wokenAfterMs;
        }
      });
    };
    hold(scheduler.nowMs + HOLD_MS);
    this.start();
  }

  /** The process ends, and its file goes on in another place. @returns what is left in the former one */
  move(downMs: number): Disk {
    const left = this.disk;
    this.crash("its file goes on elsewhere", downMs);
    this.#left.add(left);
    this.disk = left.copy();
    return left;
  }

  /**
   * Starts a second process of the service, on another file. It ends when the first one stops, or is paused: nobody would
   * answer it, and its file may be an old one.
   *
   * @param owned called if it owns the service
   */
  startOther(disk: Disk, owned: () => void): void {
    const name = `${this.name} (second)`;
    const incarnation: Incarnation = new Incarnation(name, (cause) => this.#crashOf(incarnation, cause));
    this.#others.set(incarnation, disk);
    this.#environment.trace.note(name, "starts");
    this.#run(incarnation, disk, owned);
  }

  endOthers(): void {
    for (const [incarnation, disk] of this.#others) this.#endOther(incarnation, disk);
  }

  #endOther(incarnation: Incarnation, disk: Disk): void {
    if (!incarnation.alive) return;
    this.#environment.trace.note(incarnation.process, "ends");
    incarnation.alive = false;
    this.#environment.broker.disconnect(incarnation);
    disk.rollBack();
  }

  /** Stops the process gracefully. It starts again later. */
  restart(downMs: number): void {
    const { running } = this;
    if (running === undefined || running.stopping) return;
    const { scheduler, trace, violation } = this.#environment;
    const { incarnation } = running;
    running.stopping = true;
    trace.note(this.name, "stopping");
    // It says that it has ended: a copy would take its place at once.
    this.endOthers();
    const cancelTimeout = scheduler.after(
      STOP_TIMEOUT_MS,
      () => violation(`${this.name} does not stop within ${STOP_TIMEOUT_MS} ms`),
      incarnation,
    );
    const stop = async () => {
      await running.rebuild?.stop();
      await running.messaging.stop();
      cancelTimeout();
      if (!incarnation.alive) return;
      trace.note(this.name, "stopped");
      this.#end(incarnation);
      this.#startAfter(downMs);
    };
    stop().catch((error: unknown) => violation(`${this.name} failed to stop: ${String(error)}`));
  }

  /** Whether the service has handled all records of the partitions that it reads. */
  hasRead(partitions: readonly PartitionLog[]): boolean {
    return partitions.every((log) => !this.topics.has(log.topic) || this.disk.hasHandled(log));
  }

  close(): void {
    if (this.#incarnation !== undefined) this.#end(this.#incarnation);
    this.endOthers();
    for (const [incarnation, disk] of this.#former) this.#endOther(incarnation, disk);
    const disks = [this.disk, ...this.#left, ...this.#former.values(), ...this.#others.values()];
    for (const disk of new Set(disks)) disk.close();
  }

  /** Composes the service as its `main.ts` does. */
  #compose(incarnation: Incarnation, disk: Disk, owned: () => void): Running<Parts> {
    const { broker, faults, prng, trace, committed, violation } = this.#environment;
    const { name: service, instrumented } = this;
    const runtime = this.#runtime(incarnation);
    const database = connect({
      disk,
      incarnation,
      faults,
      prng,
      mutant: this.#mutant,
      committed: () => {
        if (incarnation === this.#incarnation) committed(service);
      },
      writtenOutside: (sql) => violation(`${service} writes outside of a transaction: ${sql}`),
    });
    const { publish, subscribe, follow } = broker.connect(incarnation);
    const connection = { publish, subscribe, follow };
    const transport: Transport = this.#mutant.transport?.(connection) ?? connection;
    const { composition, env = {} } = this.#definition;
    const instrumentedComposition: typeof composition = {
      ...composition,
      compose: (_, config, log) => {
        const composed = composition.compose(database, config, log);
        const { handlers, timers = [] } = composed;
        for (const { definition } of handlers) {
          this.topics.add(definition.topic.name);
          this.types.add(definition.type);
        }
        const effect = instrumented.effect(database, incarnation);
        return {
          ...composed,
          effects: [...(composed.effects ?? []), effect],
          handlers: instrumented.wrap(handlers, effect, database, incarnation),
          timers: [...instrumented.wrapTimers(timers, database), instrumented.timer(database)],
        };
      },
    };
    const config = loadConfig(composition.config, env, service);
    const log = loggerTo(trace, incarnation.process, owned);
    const retry = this.#retry;
    return {
      ...assemble(instrumentedComposition, config, {
        database,
        connect: () => transport,
        runtime,
        log,
        retry,
      }),
      incarnation,
      newId: () => runtime.newId(),
      stopping: false,
    };
  }

  async #started(running: Running<Parts>): Promise<unknown> {
    const { started } = this.#definition;
    return started === undefined ? running.started?.(running.messaging.unitOfWork) : started(running);
  }

  /** Time and randomness as one incarnation sees them: nothing that it scheduled happens after its end. */
  #runtime(incarnation: Incarnation): Runtime {
    const { scheduler, faults, prng } = this.#environment;
    let monotonicMs = 0;
    let lastSoonMs = 0;
    const now = () => EPOCH_MS + Math.floor(scheduler.nowMs + this.clockOffsetMs);
    return {
      now,
      // Events take no virtual time. Slow work shows as a monotonic clock that advances within an event.
      monotonic: () => {
        const slowMs = faults.occurs("slowWork") ? prng.float() * MAX_SLOW_MS : 0;
        monotonicMs = Math.max(monotonicMs, scheduler.nowMs) + slowMs;
        return monotonicMs;
      },
      newId: () => uuidV7(now(), prng),
      random: () => prng.float(),
      soon: (callback) => {
        const { nowMs } = scheduler;
        // Callbacks keep their order.
        lastSoonMs = Math.max(lastSoonMs, nowMs + (prng.chance(0.5) ? 0 : prng.float() * MAX_SOON_MS));
        scheduler.after(lastSoonMs - nowMs, callback, incarnation);
      },
      after: (delayMs, callback) => scheduler.after(delayMs, callback, incarnation),
    };
  }

  #end(incarnation: Incarnation): void {
    incarnation.alive = false;
    this.#forget();
    this.#environment.broker.disconnect(incarnation);
  }

  #forget(): void {
    this.#incarnation = undefined;
    this.#running = undefined;
    this.owns = false;
    this.endOthers();
  }

  #startAfter(downMs: number): void {
    this.#cancelStart();
    this.#cancelStart = this.#environment.scheduler.after(downMs, () => this.start());
  }
}

function uuidV7(timeMs: number, prng: Prng): string {
  const time = timeMs.toString(16).padStart(12, "0");
  const [a, b, c] = [prng.bits(), prng.bits(), prng.bits()];
  const version = (0x7000 | (a & 0xfff)).toString(16);
  const variant = (0x8000 | ((a >>> 12) & 0x3fff)).toString(16);
  const rest = `${(b & 0xffff).toString(16).padStart(4, "0")}${c.toString(16).padStart(8, "0")}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${rest}`;
}

function loggerTo(trace: Trace, process: string, owned: () => void): Logger {
  const note = (_: object, text: string) => trace.note(process, text);
  const info = (fields: object, text: string) => {
    note(fields, text);
    if (text === "this process owns the service") owned();
  };
  return { debug() {}, info, warn: note, error: note };
}
