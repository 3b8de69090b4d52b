import { Database, type SQLQueryBindings } from "bun:sqlite";
import { afterAll, beforeAll, describe } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { forEachService, type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { openCounter } from "@distributed-messaging/supervisor/http/start";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { isRunningElsewhere, Store } from "./store.ts";

export type ProcessName = ServiceName | "broker";
export const processNames: readonly ProcessName[] = ["broker", ...serviceNames];

export interface OwnStoreOptions {
  /** Added to the environment of every process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A whole store of the test's own: the embedded broker and every service, each a process, on free ports. */
export class OwnStore extends Store {
  readonly dataDir: string;
  readonly #supervisor: Supervisor;
  readonly #lines: ReadonlyMap<string, string[]>;
  readonly #signsIn: boolean;

  constructor({ env = {} }: OwnStoreOptions = {}) {
    const dataDir = join(tmpdir(), `e2e-${crypto.randomUUID()}`);
    const lines = new Map<string, string[]>(processNames.map((name) => [name, []]));
    const supervisor = new Supervisor({
      dataDir,
      env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "info", ...env },
      onLog: ({ process, line }) => lines.get(process)?.push(line),
    });
    super({
      addresses: forEachService((name) => supervisor.url(name)),
      brokers: supervisor.brokers,
      isFresh: true,
    });
    this.dataDir = dataDir;
    this.#supervisor = supervisor;
    this.#lines = lines;
    this.#signsIn = (env.DEMO_SIGN_IN ?? "true") === "true";
  }

  /** Starts everything that does not run; resolves when all of it is ready, and customers can be served. */
  async startAll(): Promise<void> {
    await this.#supervisor.startAll();
    if (!this.#signsIn) return;
    // The first token may be older than what the others know of the key that signed it.
    await eventually(async () => {
      const customer = await this.signIn("CUSTOMER_first");
      return customer.notifications();
    }, "the gateway's key to be known");
  }

  stopAll(): Promise<void> {
    return this.#supervisor.stopAll();
  }

  /** SIGKILL to everything at once; it stays down until startAll(). */
  killAll(): Promise<void> {
    return this.#supervisor.killAll();
  }

  /** Stops everything and leaves no file behind. */
  async dispose(): Promise<void> {
    await this.#supervisor.stopAll();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** Starts what was stopped; resolves when it is ready. */
  start(name: ProcessName): Promise<void> {
    return this.#supervisor.start(name);
  }

  /** Stops it in order (SIGTERM); it stays down until start(). */
  stop(name: ProcessName): Promise<void> {
    return this.#supervisor.stop(name);
  }

  /** SIGKILL. It is started again by itself: ready() waits for that. */
  kill(name: ProcessName): Promise<void> {
    return this.#supervisor.kill(name);
  }

  /** SIGSTOP: it keeps its connections, and answers nobody until resume(). */
  pause(name: ProcessName): void {
    this.#supervisor.pause(name);
  }

  resume(name: ProcessName): void {
    this.#supervisor.resume(name);
  }

  /** Lets the page look behind the counter. @param port what the processes were told as SUPERVISOR_PORT */
  async openCounter(port: number): Promise<() => Promise<void>> {
    const listening = await openCounter(this.#supervisor, port);
    return () => listening.stop(0);
  }

  ready(name: ProcessName): Promise<void> {
    return this.#supervisor.ready(name);
  }

  /** How often each process was started again after it had ended by itself. */
  restarts(name: ProcessName): number {
    return this.#supervisor.processes().find((process) => process.name === name)?.restarts ?? 0;
  }

  /** The lines that a process has written so far, all its lives taken together. */
  log(name: ProcessName): readonly string[] {
    return this.#lines.get(name) ?? [];
  }

  /** Asks a service's database, whether or not the service runs. */
  rows<Row>(name: ServiceName, sql: string, ...bindings: SQLQueryBindings[]): Row[] {
    using database = new Database(join(this.dataDir, `${name}.sqlite`), { readonly: true });
    using statement = database.prepare<Row, SQLQueryBindings[]>(sql);
    return statement.all(...bindings);
  }

  /** How many messages a service has ever put into its outbox, sent or not. */
  emitted(name: ServiceName): number {
    const [row] = this.rows<{ seq: number }>(name, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'");
    return row?.seq ?? 0;
  }
}

/** Starting five processes takes a second or two; on a machine that is busy with something else, longer. */
const START_LIMIT_MS = 60_000;

/** The store that runs, or one that runs while the tests of this `describe` or file do. */
export function useStore(options: OwnStoreOptions = {}): Store {
  return isRunningElsewhere ? Store.running() : useOwnStore(options);
}

/** Tests that stop processes or look into their files are left out where the store runs elsewhere. */
export const describeOwn: typeof describe = isRunningElsewhere ? describe.skip : describe;

/** A store of its own for a `describeOwn`. */
export function useOwnStore(options: OwnStoreOptions = {}): OwnStore {
  const store = new OwnStore(options);
  beforeAll(() => store.startAll(), START_LIMIT_MS);
  afterAll(() => store.dispose(), START_LIMIT_MS);
  return store;
}
