import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { activeActiveServices, serviceNames } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import {
  brokerProcess,
  type ProcessName,
  processNames,
  ROOT,
  StoreSupervisor,
  urlOf,
} from "@distributed-messaging/supervisor/store";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { GatewayClient, seedCatalogue } from "../command/client.ts";
import { CommandFailed } from "../command/command.ts";
import type { OtherBroker } from "./other-broker.ts";
import { canReadUsage, sumOf, type Usage, usageOf } from "./usage.ts";

export const systemNames = ["store", "floor"] as const;
export type SystemName = (typeof systemNames)[number];

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Of the demo catalogue. */
const PRODUCTS = 12;
const CATALOGUE_TIMEOUT_MS = 30_000;
const HOST = "127.0.0.1";

interface SystemOptions {
  /** Without it, data is fresh. */
  readonly dataDir?: string;
  /** Of every process of a store, besides the usual settings. */
  readonly env?: Readonly<Record<string, string>>;
  /** Without it, an embedded broker is one of the processes. */
  readonly broker?: OtherBroker | undefined;
  /** Whether the replicated services of a store have two instances each; all others run once. */
  readonly isReplicated?: boolean;
}

type Started = SystemOptions & { readonly dataDir: string };

/** The store or the floor: a broker and four services, each a process. Disposing of it deletes its data and topics. */
export class System implements AsyncDisposable {
  readonly gateway: string;
  readonly notification: string;
  readonly #supervisor: Supervisor;
  /** In the order in which they were started. */
  readonly processes: readonly ProcessName[];
  readonly #dataDir: string;
  readonly #broker: OtherBroker | undefined;
  #startUpMs = 0;

  private constructor(
    supervisor: Supervisor,
    { dataDir, broker }: Started,
    urls: { gateway: string; notification: string },
  ) {
    this.#supervisor = supervisor;
    this.processes = processNames.filter((name) => name !== "broker" || broker === undefined);
    this.#dataDir = dataDir;
    this.#broker = broker;
    this.gateway = urls.gateway;
    this.notification = urls.notification;
  }

  static async start(name: SystemName, options: SystemOptions = {}): Promise<System> {
    await options.broker?.makeReady();
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), `bench-${name}-`));
    const system =
      name === "store" ? System.#store({ ...options, dataDir }) : System.#floor({ ...options, dataDir });
    try {
      for (const signal of SIGNALS) process.once(signal, system.#interrupt);
      const startedAt = performance.now();
      await system.#supervisor.startAll();
      system.#startUpMs = performance.now() - startedAt;
      if (system.#supervisor instanceof StoreSupervisor) {
        // What works at the same time would not only cost, but work, too.
        const further = system.#supervisor.instances.filter(
          ({ name: own, service }) => own !== service && activeActiveServices.includes(service),
        );
        await Promise.all(further.map(({ name: own }) => system.#supervisor.process(own).stop()));
        await seedCatalogue(system.#supervisor.url("inventory"));
        await untilSold(system.gateway);
      }
      return system;
    } catch (error) {
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  static #store(started: Started): System {
    const env = {
      ...{ AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn" },
      // A few customers send as much as the store can take.
      ...{ RATE_LIMIT_ORDERS: "0" },
      ...started.env,
    };
    const { dataDir, broker, isReplicated = false } = started;
    const supervisor = new StoreSupervisor({
      // A gateway answers as that of a store without replication does.
      ...{ dataDir, env: { ACCEPT: "local", ...env, HOST } },
      ...(isReplicated ? { replicas: 2 } : {}),
      ...(broker === undefined ? {} : { brokers: broker.address }),
    });
    const urls = { gateway: supervisor.url("api-gateway"), notification: supervisor.url("notification") };
    return new System(supervisor, started, urls);
  }

  static #floor(started: Started): System {
    const { dataDir, broker } = started;
    const [brokerPort = 0, ...ports] = freePorts(serviceNames.length + 1, HOST);
    const inherited = Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    const env = {
      ...Object.fromEntries(inherited),
      ...{
        LOG_LEVEL: "warn",
        HOST,
        DATA_DIR: dataDir,
        KAFKA_BROKERS: broker?.address ?? `${HOST}:${brokerPort}`,
      },
    };
    const urls = new Map(serviceNames.map((service, index) => [service, urlOf(HOST, ports[index] ?? 0)]));
    const urlOfService = (service: (typeof serviceNames)[number]) => urls.get(service) ?? "";
    const processes = serviceNames.map((service, index) => ({
      name: service,
      entry: join(ROOT, "scripts/bench/floor/main.ts"),
      env: { ...env, FLOOR_SERVICE: service, PORT: String(ports[index]) },
      ready: { kind: "http", url: `${urlOfService(service)}/readiness` } as const,
    }));
    const ownBroker = broker === undefined ? [{ processes: [brokerProcess(env, brokerPort)] }] : [];
    return new System(new Supervisor([...ownBroker, { processes }]), started, {
      gateway: urlOfService("api-gateway"),
      notification: urlOfService("notification"),
    });
  }

  /** What the change logs take on the disk of the embedded broker; 0 without one, or without replication. */
  changeLogBytes(): number {
    const files = new Bun.Glob("broker/**/*.changes*/**").scanSync({ cwd: this.#dataDir });
    return [...files].reduce((sum, file) => sum + statSync(join(this.#dataDir, file)).size, 0);
  }

  /** From the start of the first process until all were ready. */
  get startUpMs(): number {
    return this.#startUpMs;
  }

  /** Resolves when these have ended. */
  async stop(names: readonly ProcessName[]): Promise<void> {
    await Promise.all(names.map((name) => this.#supervisor.process(name).stop()));
  }

  /** Resolves when these are ready. */
  async start(names: readonly ProcessName[]): Promise<void> {
    await Promise.all(names.map((name) => this.#supervisor.process(name).start()));
  }

  /** What each part has used, with all its instances; none where that cannot be read. @throws Error when one was restarted or has ended */
  usage(): ReadonlyMap<ProcessName, Usage> {
    if (!canReadUsage) return new Map();
    return new Map(
      this.processes.map((name) => {
        const pids = this.#instancesOf(name).map(({ pid, restarts }) => {
          if (pid === undefined || restarts > 0) throw new Error(`${name} has crashed`);
          return pid;
        });
        return [name, sumOf(pids.map(usageOf))];
      }),
    );
  }

  #instancesOf(name: ProcessName) {
    const supervisor = this.#supervisor;
    const further =
      supervisor instanceof StoreSupervisor
        ? supervisor.instances.filter(({ name: own, service }) => service === name && own !== name)
        : [];
    const running = further
      .map(({ name: own }) => supervisor.process(own))
      .filter(({ state }) => state !== "stopped");
    return [supervisor.process(name), ...running];
  }

  readonly #interrupt = () => {
    void this[Symbol.asyncDispose]().finally(() => process.exit(1));
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt);
    await this.#supervisor.stopAll();
    rmSync(this.#dataDir, { recursive: true, force: true });
    await this.#broker?.clear();
  }
}

/** Waits until the gateway has the catalogue, which follows the inventory's. @throws CommandFailed when it does not */
async function untilSold(gateway: string): Promise<void> {
  const deadline = performance.now() + CATALOGUE_TIMEOUT_MS;
  while ((await new GatewayClient(gateway).productIds()).length < PRODUCTS) {
    if (performance.now() > deadline) throw new CommandFailed("the gateway has not received the catalogue");
    await Bun.sleep(20);
  }
}
