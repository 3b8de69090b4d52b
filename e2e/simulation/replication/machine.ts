import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Logger,
  Messaging,
  migrate,
  NotOwner,
  type OutgoingRecord,
  Replica,
  type Runtime,
  StorageError,
  type Transport,
} from "@distributed-messaging/messaging";
import { type PartitionLog, SimulatedBroker } from "../broker.ts";
import { type FaultName, Faults, recurringFaults } from "../faults.ts";
import { Prng } from "../prng.ts";
import { type Incarnation, Scheduler, Trace } from "../scheduler.ts";
import { Instance } from "./instance.ts";
import {
  definitions,
  EPOCH_MS,
  handlersOf,
  owners,
  SERVICE,
  timersOf,
  topics,
  type Version,
  versions,
} from "./ledger.ts";
import { SimulatedStore } from "./store.ts";

/** In this time another instance leads. */
const LATE_MS = 5_500;

/** What is not about replication: a record that is refused is parked, which other simulations show. */
const WITHOUT: ReadonlySet<FaultName> = new Set<FaultName>([
  "recordRefused",
  "topicRefused",
  ...recurringFaults,
]);

/** What the machines of a run share: a broker, and time. Faults are off until they are enabled. */
export class World implements Disposable {
  readonly violations: string[] = [];
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly prng: Prng;
  readonly faults: Faults;
  readonly broker: SimulatedBroker;
  readonly machines: readonly Machine[];
  /** Of all machines: each has files of its own in it. */
  readonly directory = mkdtempSync(join(tmpdir(), "replication-"));
  readonly store: SimulatedStore;

  constructor(
    seed: number,
    machines: number,
    print?: (line: string) => void,
    /** Whether the log of the owners counts. */
    readonly ownership = false,
    /** After how many groups a follower makes a snapshot; undefined: nobody does. */
    readonly snapshotEvery?: number,
  ) {
    this.trace = new Trace(this.scheduler, print);
    this.prng = new Prng(`replication ${seed}`);
    this.faults = new Faults(this.prng.fork("faults"), WITHOUT);
    this.broker = new SimulatedBroker(this);
    this.broker.createTopics([...Object.values(topics), ...(ownership ? [owners] : [])]);
    this.store = new SimulatedStore(this);
    this.machines = Array.from({ length: machines }, (_, index) => new Machine(`machine-${index}`, this));
  }

  /** The partition of the change log. @throws when the topic does not exist */
  get changeLog(): PartitionLog {
    const [log] = this.broker.partitionsOf(topics.changes.name);
    if (log === undefined) throw new Error("there is no change log");
    return log;
  }

  /** What the change log has of one kind, oldest first. */
  changes(kind: "claim" | "group"): PartitionLog["records"] {
    return this.changeLog.records.filter(({ headers }) => headers.kind === kind);
  }

  violation(text: string): void {
    this.trace.note("invariant", text);
    this.violations.push(text);
  }

  /** Lets time pass. */
  pass(ms: number): void {
    const until = this.scheduler.nowMs + ms;
    // An event of its own, so that time ends there.
    this.scheduler.after(ms, () => {});
    while (this.scheduler.step(until));
  }

  [Symbol.dispose](): void {
    for (const machine of this.machines) machine.end();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A machine with an instance of the ledger. */
export class Machine extends Instance {
  readonly #world: World;
  #ids = 0;
  /** Of the service, that runs here from the next start on. */
  version: Version = versions[0];
  /** How often it began with a snapshot. */
  restored = 0;
  /** What it follows delivers nothing to it. */
  readsNothing = false;
  /** Whether the broker takes no groups of it, and everything else. */
  groupsAreRefused = false;
  /** Whether the broker takes no claims of it. */
  claimsAreRefused = false;
  /** How long it takes to leave its consumer group. */
  leavesGroupMs = 0;
  /** Whether it may not delete what a topic has. */
  mayNotTrim = false;
  /** While it leads. */
  kit: Messaging | undefined;
  /** Called after each COMMIT while it leads, before anything else. */
  committed = () => {};
  /** Stores a request, as an interface of the service would. */
  ask: (request: string) => Promise<void> = () => Promise.reject(new Error("it does not lead"));

  constructor(name: string, world: World) {
    super(name, world);
    this.#world = world;
  }

  /** Reads its file, as it is on disk. */
  read(sql: string): Record<string, unknown>[] {
    using database = new Database(this.path, { readonly: true });
    return database.query<Record<string, unknown>, []>(sql).all();
  }

  /**
   * The schema and every row of what is replicated; but not that no id of a table has been used, which SQLite notes or
   * does not.
   */
  content(): string {
    const tables = this.read(
      "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('replication', 'change_log', 'replication_triggers', 'ownership') ORDER BY name",
    );
    return tables
      .flatMap(({ name, sql }) => {
        const rows = this.read(`SELECT * FROM "${name}"`).map((row) => JSON.stringify(row));
        const isIdle = (row: string) => name === "sqlite_sequence" && row.includes('"seq":0');
        return [String(sql), ...rows.filter((row) => !isIdle(row)).sort()];
      })
      .join("\n");
  }

  override start(version = this.version): void {
    this.version = version;
    super.start();
  }

  protected follow(incarnation: Incarnation): Replica {
    const { version } = this;
    const { broker, trace, store, snapshotEvery } = this.#world;
    const runtime = this.#runtime(incarnation);
    const connection = broker.connect(incarnation);
    const transport: Transport = {
      ...connection,
      follow: (options) =>
        connection.follow({
          ...options,
          deliver: (record) => {
            if (!this.readsNothing) options.deliver(record);
          },
          caughtUp: (end) => {
            if (!this.readsNothing) options.caughtUp(end);
          },
        }),
      subscribe: (options) => {
        const subscription = connection.subscribe(options);
        return {
          healthy: () => subscription.healthy(),
          stop: async () => {
            await subscription.stop();
            if (this.leavesGroupMs === 0) return;
            await new Promise<void>((resolve) => runtime.after(this.leavesGroupMs, resolve));
          },
        };
      },
      trim: (topic, before) =>
        this.mayNotTrim ? Promise.reject(new Error("not authorized")) : connection.trim(topic, before),
      publish: (records) => {
        if (this.groupsAreRefused && records.some(({ headers }) => headers.kind === "group")) {
          return Promise.reject(new Error("no group is stored"));
        }
        if (this.claimsAreRefused && records.some(({ headers }) => headers.kind === "claim")) {
          return Promise.reject(new Error("no claim is stored"));
        }
        return this.#publishWhilePaused(incarnation, records) ?? connection.publish(records);
      },
    };
    const note = (_: object, text: string) => trace.note(this.name, text);
    const info = (fields: object, text: string) => {
      note(fields, text);
      if (text.includes("begins with a snapshot")) this.restored += 1;
    };
    const log: Logger = { debug() {}, info, warn: note, error: note };
    const replica = new Replica({
      service: SERVICE,
      path: this.path,
      synchronous: "OFF",
      ...{ transport, runtime, log, ownership: this.#world.ownership, migrations: version },
      address: this.address,
      ...(snapshotEvery === undefined
        ? {}
        : { snapshots: { store: store.connect(incarnation), every: snapshotEvery } }),
      deposed: () => runtime.soon(() => incarnation.crash("deposed")),
    });
    const lead = async () => {
      const database = await replica.leads();
      migrate(database, SERVICE, version, log);
      const kit = new Messaging({
        service: SERVICE,
        ...{ database, transport, runtime, log, definitions },
        handlers: handlersOf(database, version),
        timers: timersOf(database),
        deadLetterTopic: topics.deadLetters.name,
      });
      const insert = database.sql.prepare<unknown, [string]>("INSERT INTO requests VALUES (?)");
      this.ask = (request) => kit.unitOfWork.run(() => void insert.run(request));
      this.kit = kit;
      const run = database.sql.run.bind(database.sql);
      database.sql.run = (sql, ...parameters) => {
        const changes = run(sql, ...parameters);
        if (sql === "COMMIT") this.committed();
        return changes;
      };
      kit.start();
    };
    lead().catch((error: unknown) => {
      trace.note(this.name, `does not lead: ${String(error)}`);
      // It was stopped before that.
      if (!incarnation.alive || error instanceof StorageError || error instanceof NotOwner) return;
      this.#world.violation(`${this.name} does not lead: ${String(error)}`);
    });
    return replica;
  }

  /** An innocent message is parked, too, when its process ended three times while it was handled. */
  replayDeadLetters(): void {
    const { kit } = this;
    const ids = kit?.deadLetterAdmin.list({ limit: 50, reason: "crash" }).map(({ id }) => id) ?? [];
    if (kit === undefined || ids.length === 0) return;
    kit.deadLetterAdmin.replay(ids, "operator").catch((error: unknown) => {
      this.#world.trace.note(this.name, `dead letters are not replayed: ${String(error)}`);
    });
  }

  /** Sometimes a request arrives late, and its process is paused meanwhile, so that another instance may lead by then. */
  #publishWhilePaused(
    incarnation: Incarnation,
    records: readonly OutgoingRecord[],
  ): Promise<void> | undefined {
    const { broker, faults, prng, scheduler, trace } = this.#world;
    if (!faults.enabled || !prng.chance(0.01)) return undefined;
    const lateMs = LATE_MS * (1 + prng.float() / 2);
    broker.send(lateMs, () => {
      trace.note("broker", `stores ${records.length} records of ${this.name} late`);
      if (broker.up) broker.store(records);
    });
    this.pause(lateMs * (1 + prng.float()));
    return new Promise((_, reject) => {
      scheduler.after(0, () => reject(new Error("request timed out")), incarnation);
    });
  }

  protected async finish(): Promise<void> {
    await this.kit?.stop();
  }

  protected ended(): void {
    this.kit = undefined;
  }

  #runtime(incarnation: Incarnation): Runtime {
    const { scheduler, prng } = this.#world;
    return {
      now: () => EPOCH_MS + Math.floor(scheduler.nowMs),
      monotonic: () => scheduler.nowMs,
      newId: () => {
        this.#ids += 1;
        const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0").slice(-digits);
        const time = hex(EPOCH_MS + Math.floor(scheduler.nowMs), 12);
        return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(prng.bits(), 3)}-8${hex(prng.bits(), 3)}-${hex(prng.bits(), 8)}${hex(this.#ids, 4)}`;
      },
      random: () => prng.float(),
      soon: (callback) => void scheduler.after(0, callback, incarnation),
      after: (delayMs, callback) => scheduler.after(delayMs, callback, incarnation),
    };
  }
}
