import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  NotOwner,
  Replica,
  type Runtime,
  type ServiceDatabase,
  StorageError,
  silentLogger,
} from "@distributed-messaging/messaging";
import type { PartitionLog } from "./broker.ts";
import type { SeededFault } from "./mutants.ts";
import { Instance } from "./replication/instance.ts";
import { SimulatedStore } from "./replication/store.ts";
import { Incarnation } from "./scheduler.ts";
import {
  Clock,
  DOWN_MS,
  type Environment,
  loggerTo,
  type Running,
  type ServiceDefinition,
  SimulatedService,
} from "./simulated-service.ts";
import { createTables, Disk, finalizeStatements, StoredState } from "./storage.ts";

/** After so many groups a follower makes a snapshot, in half of the runs; in the others nobody does. */
const SNAPSHOT_EVERY = 25;

/** What an instance needs of its service. */
interface Host<Parts> {
  readonly environment: Environment & { readonly directory: string };
  /** Where it keeps snapshots. */
  readonly store: SimulatedStore | undefined;
  readonly definition: ServiceDefinition<Parts>;
  runtime(incarnation: Incarnation, clock: Clock): Runtime;
  /** An instance begins to lead. */
  leads(database: ServiceDatabase): void;
  /** Does the work of the service on a database. */
  run(incarnation: Incarnation, database: ServiceDatabase, runtime: Runtime): Running<Parts> | undefined;
  limitStop(name: string, incarnation: Incarnation): () => void;
  paused(incarnation: Incarnation): void;
  crashed(): void;
}

/** A machine with an instance of a service of the store. */
class StoreInstance<Parts> extends Instance {
  readonly clock = new Clock();
  readonly #host: Host<Parts>;
  /** Once it leads. */
  #work: { readonly running: Running<Parts>; readonly database: ServiceDatabase } | undefined;
  /** Of processes that have ended. */
  #toClose: (() => void)[] = [];
  #cancelLimit = () => {};

  constructor(name: string, host: Host<Parts>) {
    super(name, host.environment);
    this.#host = host;
  }

  /** Whether it does nothing, and does not know of it. */
  get isPaused(): boolean {
    return (this.incarnation?.pausedUntilMs ?? 0) > this.#host.environment.scheduler.nowMs;
  }

  /** What it does as a leader, also as one that has not read yet that another one leads. */
  get work(): { readonly running: Running<Parts>; readonly database: ServiceDatabase } | undefined {
    return this.#work;
  }

  protected follow(incarnation: Incarnation): Replica {
    const { environment, store, definition } = this.#host;
    const { composition } = definition;
    const runtime = this.#host.runtime(incarnation, this.clock);
    this.#closeFiles();
    const replica = new Replica({
      service: composition.name,
      path: this.path,
      synchronous: "OFF",
      transport: environment.broker.connect(incarnation),
      runtime,
      log: loggerTo(environment.trace, this.name),
      ownership: true,
      migrations: composition.migrations,
      address: this.address,
      ...(store && { snapshots: { store: store.connect(incarnation), every: SNAPSHOT_EVERY } }),
      deposed: () => runtime.soon(() => incarnation.crash("deposed")),
    });
    this.#lead(replica, incarnation, runtime).catch((error: unknown) => {
      environment.trace.note(this.name, `does not lead: ${String(error)}`);
      // It was stopped before that, or another instance leads.
      if (!incarnation.alive || error instanceof StorageError || error instanceof NotOwner) return;
      environment.violation(`${this.name} does not lead: ${String(error)}`);
    });
    return replica;
  }

  async #lead(replica: Replica, incarnation: Incarnation, runtime: Runtime): Promise<void> {
    const database = await replica.leads();
    this.#host.leads(database);
    const running = this.#host.run(incarnation, database, runtime);
    if (running !== undefined && incarnation === this.incarnation) this.#work = { running, database };
  }

  protected async finish(): Promise<void> {
    const { incarnation } = this;
    const running = this.#work?.running;
    if (incarnation !== undefined) this.#cancelLimit = this.#host.limitStop(this.name, incarnation);
    if (running === undefined) return;
    running.stopping = true;
    await running.rebuild?.stop();
    await running.messaging.stop();
  }

  protected override close(replica: Replica): void {
    if (this.#work !== undefined) new StoredState(this.#work.database).rollBack();
    this.#toClose.push(() => replica.close());
  }

  protected ended(): void {
    this.#cancelLimit();
    const database = this.#work?.database;
    this.#work = undefined;
    if (database !== undefined) this.#toClose.push(() => finalizeStatements(database.sql));
    // Code of the process may still run, and read.
    this.#host.environment.scheduler.after(0, () => this.#closeFiles());
  }

  #closeFiles(): void {
    for (const close of this.#toClose.splice(0)) close();
  }

  override crash(cause: string, downMs = this.#host.environment.prng.exponential(DOWN_MS)): void {
    if (this.incarnation !== undefined) this.#host.crashed();
    super.crash(cause, downMs);
  }

  override pause(forMs: number): void {
    super.pause(forMs);
    if (this.incarnation !== undefined) this.#host.paused(this.incarnation);
  }

  override end(): void {
    super.end();
    this.#closeFiles();
  }
}

/** A service with several instances, each with a file: one leads, and the others have what is confirmed. */
export class ReplicatedService<Parts> extends SimulatedService<Parts> {
  readonly instances: readonly StoreInstance<Parts>[];
  readonly clocks: readonly Clock[];
  /** How often an instance began to lead. */
  leaders = 0;
  readonly #directory = mkdtempSync(join(tmpdir(), "simulation-"));
  /** Processes without replication, on files of their own. */
  readonly #others = new Map<Incarnation, Disk>();

  constructor(
    definition: ServiceDefinition<Parts>,
    environment: Environment,
    mutant: SeededFault,
    count: number,
  ) {
    super(definition, environment, mutant);
    const directory = this.#directory;
    const host: Host<Parts> = {
      environment: { ...environment, directory },
      store: environment.prng.chance(0.5) ? new SimulatedStore({ ...environment, directory }) : undefined,
      definition,
      runtime: (incarnation, clock) => this.runtime(incarnation, clock),
      leads: (database) => this.#leads(database),
      run: (incarnation, database, runtime) =>
        this.run({
          ...{ incarnation, disk: { database, path: database.path }, runtime },
          committed: () => {
            if (this.#leader?.work?.running.incarnation === incarnation) environment.committed(this.name);
          },
        }),
      limitStop: (name, incarnation) => this.limitStop(name, incarnation),
      paused: (incarnation) => this.expireSessionsOf(incarnation),
      crashed: () => {
        this.crashes += 1;
      },
    };
    this.instances = Array.from(
      { length: count },
      (_, index) => new StoreInstance(`${this.name}-${index}`, host),
    );
    this.clocks = this.instances.map(({ clock }) => clock);
    this.#knowWhatItReads();
  }

  /** Before an instance leads, too: what nobody has read yet is not to be removed. */
  #knowWhatItReads(): void {
    const { composition } = this.definition;
    const disk = Disk.create(this.name, composition.migrations, {});
    this.know(composition.compose(disk.database, this.config(), silentLogger).handlers);
    disk.close();
  }

  /** An instance leads. The first one makes the tables of the simulation, too. */
  #leads(database: ServiceDatabase): void {
    this.leaders += 1;
    const isNew = database.sql.query("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").get() === null;
    if (isNew) createTables(database, this.name, this.definition.composition.migrations, this.mutant);
  }

  /** The last one that has begun to lead. */
  get #leader(): StoreInstance<Parts> | undefined {
    const epochOf = ({ replica }: StoreInstance<Parts>) => replica?.state().epoch ?? 0;
    return this.instances
      .filter(({ work }) => work !== undefined)
      .toSorted((one, other) => epochOf(other) - epochOf(one))[0];
  }

  /** @throws if nobody leads */
  get disk(): StoredState {
    const database = this.#leader?.work?.database;
    if (database === undefined) throw new Error(`nobody leads ${this.name}`);
    return new StoredState(database);
  }

  get running(): Running<Parts> | undefined {
    const leader = this.#leader;
    return leader?.isPaused === true ? undefined : leader?.work?.running;
  }

  /** Whether all instances have the same groups: what one of them has handled is confirmed. */
  get #isSettled(): boolean {
    const states = this.instances.map(({ replica }) => replica?.state());
    const leader = states.find((state) => state?.role === "leading");
    return states.every(
      (state) =>
        state !== undefined &&
        state.epoch === leader?.epoch &&
        state.seq === leader.seq &&
        (state === leader || state.role === "following"),
    );
  }

  nextIn(log: PartitionLog): number | undefined {
    return this.#leader !== undefined && this.#isSettled ? this.disk.nextIn(log) : undefined;
  }

  protected hasHandled(log: PartitionLog): boolean {
    return this.#leader !== undefined && this.#isSettled && this.disk.hasHandled(log);
  }

  start(): void {
    for (const instance of this.instances) instance.start();
  }

  crash(cause: string, downMs?: number): void {
    this.#pick()?.crash(cause, downMs);
  }

  pause(forMs: number): void {
    this.#pick()?.pause(forMs);
  }

  /** The instance that leads is paused. */
  pauseLeader(forMs: number): void {
    this.#leader?.pause(forMs);
  }

  restart(downMs: number): void {
    this.#pick()?.stop(downMs);
  }

  /** A machine is lost, with its disk. */
  destroy(downMs: number): void {
    this.environment.prng.pick(this.instances).destroy(downMs);
  }

  /** All machines are lost, with their disks. */
  destroyAll(downMs: number): void {
    for (const instance of this.instances) instance.destroy(downMs);
  }

  /**
   * Starts a process of the service without replication, on an empty file, beside the instances.
   *
   * @param owned called if it owns the service
   */
  startOther(owned: () => void): void {
    const { composition } = this.definition;
    const incarnation: Incarnation = new Incarnation(`${this.name} (unreplicated)`, () =>
      this.#endOther(incarnation),
    );
    const disk = Disk.create(this.name, composition.migrations, this.mutant);
    this.#others.set(incarnation, disk);
    this.environment.trace.note(incarnation.process, "starts");
    const runtime = this.runtime(incarnation, new Clock());
    this.run({ incarnation, disk, runtime, owned, committed: () => {} });
  }

  override endOthers(): void {
    for (const incarnation of this.#others.keys()) this.#endOther(incarnation);
  }

  #endOther(incarnation: Incarnation): void {
    if (!incarnation.alive) return;
    this.environment.trace.note(incarnation.process, "ends");
    incarnation.alive = false;
    this.environment.broker.disconnect(incarnation);
    this.#others.get(incarnation)?.rollBack();
  }

  #pick(): StoreInstance<Parts> | undefined {
    const up = this.instances.filter(({ replica, work }) => replica !== undefined && !work?.running.stopping);
    return up.length === 0 ? undefined : this.environment.prng.pick(up);
  }

  close(): void {
    for (const instance of this.instances) instance.end();
    this.endOthers();
    for (const disk of this.#others.values()) disk.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
