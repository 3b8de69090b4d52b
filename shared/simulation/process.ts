import { allMessages, deadLetterTopic } from "@distributed-messaging/contracts";
import {
  defaultRetryPolicy,
  type Handler,
  type Log,
  Messaging,
  type Migration,
  migrate,
  openDatabase,
  type RetryPolicy,
  type ServiceDatabase,
  type TimerHandler,
} from "@distributed-messaging/messaging";
import { fingerprint, type Position } from "@distributed-messaging/messaging/offsets";
import { kitMigrations } from "@distributed-messaging/messaging/schema";
import type { PartitionLog } from "./broker-log.ts";
import type { Faults } from "./faults.ts";
import { HandlerWatch } from "./handler-watch.ts";
import { Crashed, Incarnation } from "./incarnation.ts";
import { ledgerMigrations, watchTables } from "./ledger.ts";
import type { ServiceMutation } from "./mutation.ts";
import type { Network } from "./network.ts";
import type { Prng } from "./prng.ts";
import { ProcessRuntime, type WallClock } from "./process-runtime.ts";
import type { Scheduler } from "./scheduler.ts";
import { connectStorage, isSqliteError } from "./storage.ts";
import type { Trace } from "./trace.ts";

/** A service, as its main puts it together. */
export interface ServiceDefinition<Parts> {
  readonly name: string;
  readonly migrations: readonly Migration[];
  build(database: ServiceDatabase): {
    readonly parts: Parts;
    readonly handlers: readonly Handler[];
    readonly timers?: readonly TimerHandler[];
  };
  /** What main does once messages flow. A rejection ends the process, as it ends main. */
  started(running: Running<Parts>): Promise<unknown>;
}

/** A life of a service, with everything in it. */
export interface Running<Parts> {
  readonly incarnation: Incarnation;
  readonly database: ServiceDatabase;
  readonly messaging: Messaging;
  readonly parts: Parts;
  readonly newId: () => string;
  stopping: boolean;
}

/** What a process lives in. */
export interface Surroundings {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  /** Something that must never happen has happened. */
  violation(text: string): void;
  /** Called after every COMMIT of a process. */
  committed(process: Process<unknown>): void;
}

/** Longer than any send may take: a stop that is not over by then never will be. */
const STOP_DEADLINE_MS = 30_000;
/** Half of the runs do not wait long before they give a message up. */
const QUICK_RETRY: RetryPolicy = { backoff: { firstMs: 20, mostMs: 1_000 }, attempts: 10 };

/** How long until a process that could not start is started again. */
const RESTART_MS = 500;

/** One service: its file, and the process that comes and goes. */
export class Process<Parts> {
  readonly name: string;
  /** The file itself, for those who look at it from outside. */
  readonly disk: ServiceDatabase;
  readonly handlerWatch: HandlerWatch;
  readonly clock: WallClock = { offsetMs: 0 };
  running: Running<Parts> | undefined;
  crashes = 0;
  /** What it reads, and the types of message that it handles. */
  readonly topics = new Set<string>();
  readonly types = new Set<string>();
  readonly #definition: ServiceDefinition<Parts>;
  readonly #surroundings: Surroundings;
  readonly #mutation: ServiceMutation;
  readonly #retry: RetryPolicy;
  #cancelStart = () => {};

  constructor(definition: ServiceDefinition<Parts>, surroundings: Surroundings, mutation: ServiceMutation) {
    this.name = definition.name;
    this.#definition = definition;
    this.#surroundings = surroundings;
    this.#mutation = mutation;
    this.handlerWatch = new HandlerWatch({ service: this.name, ...surroundings });
    this.#retry = surroundings.prng.chance(0.5) ? defaultRetryPolicy : QUICK_RETRY;
    this.disk = openDatabase(":memory:");
    migrate(this.disk, definition.name, definition.migrations);
    migrate(this.disk, "messaging", kitMigrations);
    migrate(this.disk, "simulation", ledgerMigrations);
    mutation.file?.(this.disk.sql);
    watchTables(this.disk);
  }

  start(): void {
    this.#cancelStart();
    if (this.running !== undefined) return;
    const { scheduler, network, faults, prng, trace, committed, violation } = this.#surroundings;
    trace.note(this.name, "starts");
    const incarnation = new Incarnation(this.name, (_, step) => this.crash(step));
    const runtime = new ProcessRuntime({ scheduler, incarnation, clock: this.clock, faults, prng });
    try {
      const database = connectStorage({
        raw: this.disk,
        incarnation,
        faults,
        prng,
        mutation: this.#mutation,
        committed: () => committed(this),
        writtenAlone: (sql) => violation(`${this.name} writes outside of a transaction: ${sql}`),
      });
      const { parts, handlers, timers = [] } = this.#definition.build(database);
      for (const { definition } of handlers) {
        this.topics.add(definition.topic.name);
        this.types.add(definition.type);
      }
      const connection = network.connect(incarnation);
      const messaging = new Messaging({
        service: this.name,
        database,
        transport: this.#mutation.transport?.(connection) ?? connection,
        definitions: allMessages,
        handlers: this.handlerWatch.watch(handlers, database, incarnation),
        timers: [...timers, ...this.handlerWatch.timers(database)],
        deadLetterTopic: deadLetterTopic(this.name),
        runtime,
        log: this.#log(),
        retry: this.#retry,
      });
      const newId = () => runtime.newId();
      const running = { incarnation, database, messaging, parts, newId, stopping: false };
      this.running = running;
      messaging.start();
      this.#definition.started(running).catch((error: unknown) => {
        if (incarnation.alive) this.crash(`could not start: ${String(error)}`);
      });
    } catch (error) {
      // Main would say why and exit with 1, and be started again.
      if (!incarnation.alive && error instanceof Crashed) return;
      if (!isSqliteError(error)) throw error;
      incarnation.alive = false;
      network.disconnect(incarnation);
      this.#startAfter(RESTART_MS);
    }
  }

  /** Dies with everything that was not on disk, and is started again after a while. */
  crash(step: string, downMs = this.#surroundings.prng.exponential(300)): void {
    const { running, disk } = this;
    if (running === undefined) return;
    this.crashes += 1;
    this.#surroundings.trace.note(this.name, `crashes: ${step}`);
    this.#end(running);
    if (disk.sql.inTransaction) disk.sql.run("ROLLBACK");
    this.#startAfter(downMs);
  }

  /** Stops in good order, and is started again after a while. */
  restart(downMs: number): void {
    const { running } = this;
    if (running === undefined || running.stopping) return;
    const { scheduler, trace, violation } = this.#surroundings;
    running.stopping = true;
    trace.note(this.name, "is told to stop");
    const cancelDeadline = scheduler.after(
      STOP_DEADLINE_MS,
      () => violation(`${this.name} does not stop within ${STOP_DEADLINE_MS} ms`),
      running.incarnation,
    );
    running.messaging.stop().then(() => {
      cancelDeadline();
      if (!running.incarnation.alive) return;
      trace.note(this.name, "has stopped");
      this.#end(running);
      this.#startAfter(downMs);
    });
  }

  /** How many rows a table of its file has. */
  count(table: string): number {
    return this.disk.sql.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
  }

  /** Whether it has handled all of these partitions, or does not read them. */
  hasRead(partitions: readonly PartitionLog[]): boolean {
    const position = this.disk.sql.query<Position, [string, number]>(
      "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
    );
    return partitions.every(({ topic, partition, records, end }) => {
      const last = records.at(-1);
      if (last === undefined || !this.topics.has(topic)) return true;
      const stored = position.get(topic, partition);
      // The same number in a log of the same name that was made anew is not the same place.
      return stored?.next === end && stored.lastRecord === fingerprint(last);
    });
  }

  close(): void {
    if (this.running !== undefined) this.#end(this.running);
    this.disk.close();
  }

  #end({ incarnation }: Running<Parts>): void {
    incarnation.alive = false;
    this.running = undefined;
    this.#surroundings.network.disconnect(incarnation);
  }

  #startAfter(downMs: number): void {
    this.#cancelStart();
    this.#cancelStart = this.#surroundings.scheduler.after(downMs, () => this.start());
  }

  #log(): Log {
    const { trace } = this.#surroundings;
    const say = (_: object, text: string) => trace.note(this.name, text);
    return { debug() {}, info: say, warn: say, error: say };
  }
}
