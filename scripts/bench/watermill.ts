import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildGoModule, ClientMissing } from "@distributed-messaging/e2e/clients/toolchains";
import { serviceNames } from "@distributed-messaging/services/registry";
import { eachLine } from "@distributed-messaging/supervisor/child";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { brokerProcess, urlOf } from "@distributed-messaging/supervisor/store";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { Glob, SQL, type Subprocess } from "bun";
import type { OtherBroker } from "./other-broker.ts";
import { type Usage, usageOf, usageOfTree } from "./usage.ts";

const HOST = "127.0.0.1";
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const READY_TIMEOUT_MS = 60_000;
const PROBE_INTERVAL_MS = 50;
/** PostgreSQL refuses to run as root: of this user and group, which own nothing. */
const NOBODY = 65_534;

/** The programs that the comparison with Watermill needs. */
export interface WatermillTools {
  /** The services of `scripts/bench/watermill`. */
  readonly services: string;
  readonly initdb: string;
  readonly postgres: string;
  readonly setpriv: string;
}

/** Builds the services and finds PostgreSQL. @throws ClientMissing that says, in one line, what this machine lacks */
export async function provideWatermill(): Promise<WatermillTools> {
  const setpriv = Bun.which("setpriv");
  if (setpriv === null) throw new ClientMissing("setpriv (util-linux) is not installed");
  const [postgres, initdb] = [postgresProgram("postgres"), postgresProgram("initdb")];
  if (postgres === undefined || initdb === undefined) throw new ClientMissing("PostgreSQL is not installed");
  return { services: await buildGoModule(join(import.meta.dir, "watermill")), postgres, initdb, setpriv };
}

/** Debian has the server's programs in a folder of their own, one for each version. */
function postgresProgram(name: string): string | undefined {
  const ofDebian = new Glob(`*/bin/${name}`).scanSync({
    cwd: "/usr/lib/postgresql",
    absolute: true,
    throwErrorOnBrokenSymlink: false,
  });
  return Bun.which(name) ?? [...ofDebian].sort().at(-1);
}

/**
 * The path of an order with Watermill, each service with a database of one PostgreSQL, on an embedded broker and fresh data.
 * Disposing of it ends all processes and deletes all data; the end of this process ends them, too.
 */
export class WatermillSystem implements AsyncDisposable {
  readonly gateway: string;
  readonly notification: string;
  readonly #tools: WatermillTools;
  readonly #env: Readonly<Record<string, string>>;
  readonly #ports: readonly number[];
  readonly #brokerDir = mkdtempSync(join(tmpdir(), "bench-watermill-"));
  readonly #databaseDir = mkdtempSync(join(tmpdir(), "bench-postgresql-"));
  /** The embedded broker, unless there is another one. */
  readonly #embedded: Supervisor | undefined;
  readonly #broker: OtherBroker | undefined;
  readonly #processes = new Map<string, Running>();

  private constructor(tools: WatermillTools, broker: OtherBroker | undefined) {
    this.#tools = tools;
    this.#broker = broker;
    const [brokerPort = 0, ...ports] = freePorts(serviceNames.length + 2, HOST);
    this.#ports = ports;
    const inherited = Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    this.#env = {
      ...Object.fromEntries(inherited),
      ...{ LOG_LEVEL: "warn", HOST, DATA_DIR: this.#brokerDir },
      KAFKA_BROKERS: broker?.address ?? `${HOST}:${brokerPort}`,
    };
    if (broker === undefined) {
      this.#embedded = new Supervisor([{ processes: [brokerProcess(this.#env, brokerPort)] }]);
    }
    this.gateway = this.#urlOf("api-gateway");
    this.notification = this.#urlOf("notification");
  }

  /** @param broker without it, an embedded broker is one of the processes */
  static async start(tools: WatermillTools, broker?: OtherBroker): Promise<WatermillSystem> {
    await broker?.makeReady();
    const system = new WatermillSystem(tools, broker);
    try {
      for (const signal of SIGNALS) process.once(signal, system.#interrupt);
      await Promise.all([system.#embedded?.startAll(), system.#startPostgresql()]);
      await Promise.all(serviceNames.map((name) => system.#startService(name)));
      return system;
    } catch (error) {
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of the data, which disposing of it deletes. */
  get folders(): readonly string[] {
    return [this.#brokerDir, this.#databaseDir];
  }

  /** Of PostgreSQL and the services. */
  get pids(): readonly number[] {
    return [...this.#processes.values()].map(({ pid }) => pid);
  }

  /** What each process has used, of PostgreSQL all together. @throws Error when one was restarted or has ended */
  usage(): ReadonlyMap<string, Usage> {
    const used = new Map<string, Usage>();
    if (this.#embedded !== undefined) {
      const { pid, restarts } = this.#embedded.process("broker");
      if (pid === undefined || restarts > 0) throw new Error("broker has crashed");
      used.set("broker", usageOf(pid));
    }
    for (const [name, running] of this.#processes) {
      running.assertRuns();
      used.set(name, name === "postgresql" ? usageOfTree(running.pid) : usageOf(running.pid));
    }
    return used;
  }

  get #postgresUrl(): string {
    return `postgres://postgres@${HOST}:${this.#ports.at(-1)}`;
  }

  #urlOf(name: (typeof serviceNames)[number]): string {
    return urlOf(HOST, this.#ports[serviceNames.indexOf(name)] ?? 0);
  }

  async #startPostgresql(): Promise<void> {
    const { initdb, postgres } = this.#tools;
    const folder = this.#databaseDir;
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(folder, NOBODY, NOBODY);
    const user = isRoot ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
    const create = [initdb, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", folder];
    await new Running("initdb", this.#command(user, "KILL", create), { cwd: folder }).succeeded();
    const listen = ["-h", HOST, "-p", String(this.#ports.at(-1)), "-c", "unix_socket_directories="];
    // SIGINT: PostgreSQL stops at once and in good order.
    const serve = this.#command(user, "INT", [postgres, "-D", folder, ...listen]);
    const server = new Running("PostgreSQL", serve, { cwd: folder });
    this.#processes.set("postgresql", server);
    const sql = new SQL(`${this.#postgresUrl}/postgres`, { max: 1 });
    try {
      await server.until(() => sql`SELECT 1`);
      for (const setting of ["fsync", "synchronous_commit"]) {
        const [row] = await sql.unsafe(`SHOW ${setting}`);
        if (row?.[setting] !== "on") throw new Error(`PostgreSQL has ${setting} ${row?.[setting]}`);
      }
      for (const name of serviceNames) await sql.unsafe(`CREATE DATABASE "${name}"`);
    } finally {
      await sql.close();
    }
  }

  async #startService(name: (typeof serviceNames)[number]): Promise<void> {
    const port = new URL(this.#urlOf(name)).port;
    const env = { ...this.#env, PORT: port, POSTGRES: `${this.#postgresUrl}/${name}` };
    const service = new Running(name, this.#command([], "KILL", [this.#tools.services, name]), { env });
    this.#processes.set(name, service);
    await service.until(async () => {
      const { ok } = await fetch(`${this.#urlOf(name)}/readiness`);
      if (!ok) throw new Error("not ready");
    });
  }

  /** A command that gets a signal when this process ends, in whatever way. */
  #command(user: readonly string[], onParentsEnd: string, command: readonly string[]): string[] {
    return [this.#tools.setpriv, ...user, `--pdeathsig=${onParentsEnd}`, "--", ...command];
  }

  readonly #interrupt = () => {
    void this[Symbol.asyncDispose]().finally(() => process.exit(1));
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt);
    const postgresql = this.#processes.get("postgresql");
    this.#processes.delete("postgresql");
    await Promise.all([...this.#processes.values()].map((service) => service.end("SIGKILL")));
    await Promise.all([this.#embedded?.stopAll(), postgresql?.end("SIGINT")]);
    for (const folder of this.folders) rmSync(folder, { recursive: true, force: true });
    await this.#broker?.clear();
  }
}

/** A process that is not Bun's. */
class Running {
  readonly #name: string;
  readonly #child: Subprocess<"ignore", "pipe", "pipe">;
  readonly #output: Promise<unknown>;
  #lastLine = "";

  constructor(
    name: string,
    command: string[],
    options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> },
  ) {
    this.#name = name;
    this.#child = Bun.spawn(command, { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const keep = (line: string) => {
      if (line.trim() !== "") this.#lastLine = line;
    };
    this.#output = Promise.all([eachLine(this.#child.stdout, keep), eachLine(this.#child.stderr, keep)]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** @throws Error when it has ended */
  assertRuns(): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return;
    throw new Error(`${this.#name} has ended (${signalCode ?? `exit code ${exitCode}`}): ${this.#lastLine}`);
  }

  /** Tries again until the attempt succeeds. @throws Error when the process ends meanwhile, or it takes too long */
  async until(attempt: () => Promise<unknown>): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        this.assertRuns();
        if (performance.now() > deadline) throw error;
        await Bun.sleep(PROBE_INTERVAL_MS);
      }
    }
  }

  /** Resolves when it has ended with 0. @throws Error otherwise */
  async succeeded(): Promise<void> {
    await Promise.all([this.#child.exited, this.#output]);
    if (this.#child.exitCode !== 0) this.assertRuns();
  }

  async end(signal: "SIGINT" | "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.#child.exited;
  }
}
