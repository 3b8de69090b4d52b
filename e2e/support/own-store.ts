import { Database, type SQLQueryBindings } from "bun:sqlite";
import { afterAll, beforeAll, describe } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forEachService, type ServiceName } from "@distributed-messaging/services/registry";
import { serveAdminPanel } from "@distributed-messaging/supervisor/http";
import type { ManagedProcess, ProcessTimings } from "@distributed-messaging/supervisor/process";
import { metricIn } from "@distributed-messaging/supervisor/services";
import { type Ports, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { request } from "./answers.ts";
import { isRunningElsewhere, Store } from "./store.ts";

interface OwnStoreOptions {
  /** Added to the environment of every process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Those of a broker that runs, in place of one of its own. */
  readonly brokers?: string;
  /** Of another store that has ended, in place of new ones. */
  readonly dataDir?: string;
  readonly ports?: Ports;
  /** How many instances of each service that may have several. */
  readonly replicas?: number;
  readonly timings?: Partial<ProcessTimings>;
}

/** A store of the test's own: the embedded broker and every service, each in a process, on free ports. */
export class OwnStore extends Store {
  readonly dataDir: string;
  readonly supervisor: StoreSupervisor;
  readonly #lines: Map<string, string[]>;

  constructor({
    env = {},
    dataDir = join(tmpdir(), `e2e-${crypto.randomUUID()}`),
    ...others
  }: OwnStoreOptions = {}) {
    const lines = new Map<string, string[]>();
    const supervisor = new StoreSupervisor({
      ...others,
      dataDir,
      env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "info", ...env },
      onLog: ({ process, line }) => {
        const ofProcess = lines.get(process) ?? [];
        ofProcess.push(line);
        lines.set(process, ofProcess);
      },
    });
    super({
      addresses: forEachService((name) => supervisor.url(name)),
      brokers: supervisor.brokers,
      isFresh: true,
    });
    this.dataDir = dataDir;
    this.supervisor = supervisor;
    this.#lines = lines;
  }

  /** Of several instances, that of one that is ready. */
  override url(name: ServiceName): string {
    return this.supervisor.url(name);
  }

  /** Starts every process that does not run; resolves when all are ready. */
  startAll(): Promise<void> {
    return this.supervisor.startAll();
  }

  /** Stops every process and deletes the data. @throws when a process has logged a token or a private key */
  async dispose(): Promise<void> {
    await this.supervisor.stopAll();
    rmSync(this.dataDir, { recursive: true, force: true });
    const leaks = [...this.#lines].flatMap(([name, lines]) => {
      const secrets = lines.filter(hasSecret).length;
      return secrets === 0 ? [] : [`${secrets} log lines of ${name} have a token or a private key`];
    });
    if (leaks.length > 0) throw new Error(leaks.join("; "));
  }

  /** @param name of a process: a service, the broker, or a later instance with its number */
  process(name: string): ManagedProcess {
    return this.supervisor.process(name);
  }

  /** Serves the page's admin panel. @param port the value of SUPERVISOR_PORT of the processes @returns stops it */
  async serveAdminPanel(port: number): Promise<() => Promise<void>> {
    const listening = await serveAdminPanel(this.supervisor, port);
    return () => listening.stop(0);
  }

  /** Of several instances, that of the one that has it: a follower has few. @throws when there is none of that name */
  override async metric(name: ServiceName, metric: string): Promise<number> {
    for (const { url } of this.supervisor.instances.filter(({ service }) => service === name)) {
      const { body } = await request(`${url}/metrics`).catch(() => ({ body: "" }));
      const value = metricIn(String(body), metric);
      if (value !== null) return value;
    }
    throw new Error(`${name} has no metric ${metric}`);
  }

  /** The lines that a process has written, over all restarts. */
  log(name: string): readonly string[] {
    return this.#lines.get(name) ?? [];
  }

  /** Queries the database of a service, or of a later instance with its number, whether or not it runs. */
  rows<Row>(name: string, sql: string, ...bindings: SQLQueryBindings[]): Row[] {
    const { file = "" } = this.supervisor.instances.find((instance) => instance.name === name) ?? {};
    using database = new Database(file, { readonly: true });
    using statement = database.prepare<Row, SQLQueryBindings[]>(sql);
    return statement.all(...bindings);
  }

  /** How many messages a service, or one of its instances, has emitted, sent or not. */
  emitted(name: string): number {
    const [row] = this.rows<{ seq: number }>(name, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'");
    return row?.seq ?? 0;
  }
}

/** Whether a text has a token (a JWS, RFC 7515 §3.1), or the private member of a JWK (RFC 8037 §2), also escaped. */
export function hasSecret(text: string): boolean {
  return /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/.test(text) || /\bd\\*":\s*\\*"[\w-]{43}\b/.test(text);
}

/** Starting the processes takes a second or two; on a busy machine, longer. */
const START_LIMIT_MS = 60_000;

/** The store of `test-e2e-local`, or one that runs for the tests of this `describe` or file. */
export function useStore(options: OwnStoreOptions = {}): Store {
  return isRunningElsewhere ? Store.running() : useOwnStore(options);
}

/** For tests that stop processes or read files: skipped by `test-e2e-local`. */
export const describeOwn: typeof describe = isRunningElsewhere ? describe.skip : describe;

/** A store for the tests of a `describeOwn`. */
export function useOwnStore(options: OwnStoreOptions = {}): OwnStore {
  const store = new OwnStore(options);
  beforeAll(() => store.startAll(), START_LIMIT_MS);
  afterAll(() => store.dispose(), START_LIMIT_MS);
  return store;
}
