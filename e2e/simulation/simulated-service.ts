import {
  defaultRetryPolicy,
  type Handler,
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
import type { Incarnation, Scheduler, Trace } from "./scheduler.ts";
import { type Connectable, connect, isSqliteError, type StoredState } from "./storage.ts";

/** Virtual time starts at 2026-01-01T00:00:00Z in every run. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
/** The most by which one slow step advances the monotonic clock. */
const MAX_SLOW_MS = 40;
const MAX_SOON_MS = 1.5;
/** Longer than any publish takes: a stop that is not done by then never is. */
const STOP_TIMEOUT_MS = 30_000;
/** After so long, a group coordinator has not heard of a paused process. */
const SESSION_MS = 10_000;
/** Mean time until a process that crashed or stopped is started again. */
export const DOWN_MS = 300;
/** The most by which a clock is wrong, either way: far less than the inbox retention. */
const MAX_CLOCK_OFFSET_MS = 2 * 24 * 60 * 60 * 1000;
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

/** The wall clock of a machine. */
export class Clock {
  /** Milliseconds by which it differs from virtual time. */
  offsetMs = 0;

  jump(byMs: number): void {
    const offsetMs = this.offsetMs + byMs;
    this.offsetMs = Math.max(-MAX_CLOCK_OFFSET_MS, Math.min(MAX_CLOCK_OFFSET_MS, offsetMs));
  }
}

/** What one process works with. */
interface Surroundings {
  readonly incarnation: Incarnation;
  readonly disk: Connectable;
  readonly runtime: Runtime;
  /** Called after each COMMIT. */
  readonly committed: () => void;
  /** Called when the log of the owners says that the process is the service. */
  readonly owned?: () => void;
}

/** A service of the store, with one process or several, each of which is started again whenever it has ended. */
export abstract class SimulatedService<Parts> {
  readonly name: string;
  readonly instrumented: InstrumentedHandlers;
  crashes = 0;
  /** The topics that the service reads, and the message types that it handles. */
  readonly topics = new Set<string>();
  readonly types = new Set<string>();
  protected readonly definition: ServiceDefinition<Parts>;
  protected readonly environment: Environment;
  protected readonly mutant: SeededFault;
  readonly #retry: RetryPolicy;

  constructor(definition: ServiceDefinition<Parts>, environment: Environment, mutant: SeededFault) {
    this.name = definition.composition.name;
    this.definition = definition;
    this.environment = environment;
    this.mutant = mutant;
    this.#retry = environment.prng.chance(0.5) ? defaultRetryPolicy : QUICK_RETRY;
    this.instrumented = new InstrumentedHandlers({ service: this.name, mutant, ...environment });
  }

  /** The state of the service. */
  abstract readonly disk: StoredState;
  /** The process that does the work; undefined while that is down, or paused: it answers nobody. */
  abstract readonly running: Running<Parts> | undefined;
  /** Of its machines. */
  abstract readonly clocks: readonly Clock[];

  /** Starts what is down. */
  abstract start(): void;
  /** Ends a process and everything that was not committed. It starts again later. */
  abstract crash(cause: string, downMs?: number): void;
  /** A process does nothing for some time, and does not know of it. */
  abstract pause(forMs: number): void;
  /** Stops a process gracefully. It starts again later. */
  abstract restart(downMs: number): void;
  /** The first offset of a log that has not been handled; undefined if that is not known. */
  abstract nextIn(log: PartitionLog): number | undefined;
  /** Ends everything. */
  abstract close(): void;
  /** Whether all records of a partition that it reads have been handled. */
  protected abstract hasHandled(log: PartitionLog): boolean;

  /** Ends second processes beside the one that lives. */
  endOthers(): void {}

  /** Whether the service has handled all records of the partitions that it reads. */
  hasRead(partitions: readonly PartitionLog[]): boolean {
    return partitions.every((log) => !this.topics.has(log.topic) || this.hasHandled(log));
  }

  /** Composes and starts the service. @returns undefined if the process has ended by then */
  protected run(surroundings: Surroundings): Running<Parts> | undefined {
    const { incarnation } = surroundings;
    try {
      const running = this.#compose(surroundings);
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

  /** Composes the service as its `main.ts` does. */
  #compose({ incarnation, disk, runtime, committed, owned }: Surroundings): Running<Parts> {
    const { broker, faults, prng, trace, violation } = this.environment;
    const { name: service, instrumented } = this;
    const database = connect({
      disk,
      incarnation,
      faults,
      prng,
      mutant: this.mutant,
      committed,
      writtenOutside: (sql) => violation(`${service} writes outside of a transaction: ${sql}`),
    });
    const { publish, subscribe, follow } = broker.connect(incarnation);
    const connection = { publish, subscribe, follow };
    const transport: Transport = this.mutant.transport?.(connection) ?? connection;
    const { composition } = this.definition;
    const instrumentedComposition: typeof composition = {
      ...composition,
      compose: (_, config, log) => {
        const composed = composition.compose(database, config, log);
        const { handlers, timers = [] } = composed;
        this.know(handlers);
        const effect = instrumented.effect(database, incarnation);
        return {
          ...composed,
          effects: [...(composed.effects ?? []), effect],
          handlers: instrumented.wrap(handlers, effect, database, incarnation),
          timers: [...instrumented.wrapTimers(timers, database), instrumented.timer(database)],
        };
      },
    };
    const config = this.config();
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

  protected config(): CommonConfig {
    const { composition, env = {} } = this.definition;
    return loadConfig(composition.config, env, this.name);
  }

  /** Learns which messages the service reads. */
  protected know(handlers: readonly Handler[]): void {
    for (const { definition } of handlers) {
      this.topics.add(definition.topic.name);
      this.types.add(definition.type);
    }
  }

  async #started(running: Running<Parts>): Promise<unknown> {
    const { started } = this.definition;
    return started === undefined ? running.started?.(running.messaging.unitOfWork) : started(running);
  }

  /** A stop that takes too long is a violation. @returns ends the wait for it */
  protected limitStop(name: string, incarnation: Incarnation): () => void {
    const { scheduler, violation } = this.environment;
    return scheduler.after(
      STOP_TIMEOUT_MS,
      () => violation(`${name} does not stop within ${STOP_TIMEOUT_MS} ms`),
      incarnation,
    );
  }

  /** The process is paused: if that is for long, its partitions go to others. */
  protected expireSessionsOf(paused: Incarnation): void {
    const { scheduler, broker } = this.environment;
    scheduler.after(SESSION_MS, () => {
      if (paused.alive && paused.pausedUntilMs > scheduler.nowMs) broker.expireSessions(paused);
    });
  }

  /** Time and randomness as one incarnation sees them: nothing that it scheduled happens after its end. */
  protected runtime(incarnation: Incarnation, clock: Clock): Runtime {
    const { scheduler, faults, prng } = this.environment;
    let monotonicMs = 0;
    let lastSoonMs = 0;
    const now = () => EPOCH_MS + Math.floor(scheduler.nowMs + clock.offsetMs);
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
}

function uuidV7(timeMs: number, prng: Prng): string {
  const time = timeMs.toString(16).padStart(12, "0");
  const [a, b, c] = [prng.bits(), prng.bits(), prng.bits()];
  const version = (0x7000 | (a & 0xfff)).toString(16);
  const variant = (0x8000 | ((a >>> 12) & 0x3fff)).toString(16);
  const rest = `${(b & 0xffff).toString(16).padStart(4, "0")}${c.toString(16).padStart(8, "0")}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${rest}`;
}

/** A log whose lines are in the trace. @param owned called when they say that the process is the service */
export function loggerTo(trace: Trace, process: string, owned?: () => void): Logger {
  const note = (_: object, text: string) => trace.note(process, text);
  const info = (fields: object, text: string) => {
    note(fields, text);
    if (text === "this process owns the service") owned?.();
  };
  return { debug() {}, info, warn: note, error: note };
}
