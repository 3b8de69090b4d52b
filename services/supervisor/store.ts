import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { groupOf } from "@distributed-messaging/messaging";
import { describeProvisioned, provision } from "@distributed-messaging/redpanda/provision";
import { ensureSigningKeyFile } from "@distributed-messaging/service/signing-key";
import {
  activeActiveServices,
  changeLogTopics,
  forEachService,
  replicableServices,
  type ServiceName,
  serviceNames,
  services,
  storeTopics,
} from "@distributed-messaging/services/registry";
import { freePorts } from "./ports.ts";
import { type ProcessSpec, WrongState } from "./process.ts";
import { type Stage, Supervisor, type SupervisorOptions } from "./supervisor.ts";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type ProcessName = ServiceName | "broker";
/** Every process of a store with an embedded broker, in the order in which they are started. */
export const processNames: readonly ProcessName[] = ["broker", ...serviceNames];
/** A TCP port for each process. */
export type Ports = Readonly<Record<ProcessName, number>>;

interface StoreOptions extends SupervisorOptions {
  readonly dataDir: string;
  /** Added to this process's environment for every process of the store. */
  readonly env?: Readonly<Record<string, string>>;
  /** Added to the environment of one service. */
  readonly envOf?: (name: ServiceName) => Readonly<Record<string, string>>;
  /** 0, like a missing port, stands for a free one. */
  readonly ports?: Partial<Ports>;
  /** `host:port,…` of a running broker; without it, the store runs the embedded one. */
  readonly brokers?: string;
  /** How many instances of each service that may have several; unless given, one that is not replicated. */
  readonly replicas?: number;
}

/** One process of a service. */
export interface Instance {
  /** The name of the service, with a number from the second one on. */
  readonly name: string;
  readonly service: ServiceName;
  readonly url: string;
  /** Its database. */
  readonly file: string;
  /** Its consumer group. */
  readonly group: string;
}

/**
 * The whole store on one machine: the embedded broker, unless a running one is named, and every service, each in a
 * process that ends when this one does. A process can run several stores.
 */
export class StoreSupervisor extends Supervisor {
  readonly ports: Ports;
  /** The value of KAFKA_BROKERS. */
  readonly brokers: string;
  readonly #instances: Instance[];
  readonly #making: Making;

  constructor(options: StoreOptions) {
    const host = options.env?.HOST || process.env.HOST || "127.0.0.1";
    const ports = choosePorts(host, options.ports ?? {});
    const brokers = options.brokers ?? `127.0.0.1:${ports.broker}`;
    const dataDir = resolve(options.dataDir);
    const env = {
      ...definedOnly(process.env),
      ...options.env,
      HOST: host,
      DATA_DIR: dataDir,
      KAFKA_BROKERS: brokers,
      ...Object.fromEntries(serviceNames.map((name) => [services[name].setting, String(ports[name])])),
    };
    const broker: Stage = {
      processes: [brokerProcess(env, ports.broker)],
      // A broker that is shared with others is not provisioned: each service creates the topics that it needs.
      onReady: async () => {
        const topics = options.replicas === undefined ? storeTopics : [...storeTopics, ...changeLogTopics];
        const done = await provision({ brokers: [brokers], clientId: "supervisor" }, topics);
        // The broker itself logs the topics that it creates.
        for (const line of describeProvisioned({ ...done, created: [] })) {
          options.onLog?.({ process: "broker", source: "supervisor", line });
        }
      },
    };
    const making: Making = {
      ...{ host, dataDir, env },
      ...(options.envOf === undefined ? {} : { envOf: options.envOf }),
      ...(options.replicas === undefined ? {} : { signingKey: join(dataDir, "api-gateway.jwk") }),
    };
    const instances = serviceNames.flatMap((service) => {
      const count = isPlural(making, service) ? (options.replicas ?? 1) : 1;
      const all = [ports[service], ...freePorts(count - 1, host)];
      return all.map((port, index) => instanceOf(making, service, index + 1, port));
    });
    const processes = instances.map((instance) => specOf(making, instance));
    super([...(options.brokers === undefined ? [broker] : []), { processes }], options);
    this.ports = ports;
    this.brokers = brokers;
    this.#instances = instances;
    this.#making = making;
  }

  /** Every process of every service; those that were added are the last ones. */
  get instances(): readonly Instance[] {
    return this.#instances;
  }

  override async startAll(): Promise<void> {
    const { signingKey } = this.#making;
    if (signingKey !== undefined) {
      mkdirSync(dirname(signingKey), { recursive: true, mode: 0o700 });
      await ensureSigningKeyFile(signingKey);
    }
    await super.startAll();
  }

  /**
   * One more instance of a service, which does not run yet. An admin panel that is served already shows its process, and not
   * how far its group is behind.
   *
   * @throws WrongState when there cannot be several: it is not made for that, or the store was made without `replicas`
   */
  addInstance(service: ServiceName): Instance {
    if (!isPlural(this.#making, service)) throw new WrongState(`${service} runs once in this store`);
    const number = this.#instances.filter((one) => one.service === service).length + 1;
    const [port = 0] = freePorts(1, this.#making.host);
    const instance = instanceOf(this.#making, service, number, port);
    this.addProcess(specOf(this.#making, instance));
    this.#instances.push(instance);
    return instance;
  }

  /** The address of a service, without a slash at its end: of several instances, of one that is ready. */
  url(name: ServiceName): string {
    const all = this.instances.filter(({ service }) => service === name);
    const ready = all.find((instance) => this.process(instance.name).state === "ready");
    return (ready ?? all[0])?.url ?? "";
  }
}

/** What the processes of a store have in common. */
interface Making {
  readonly host: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly envOf?: (name: ServiceName) => Readonly<Record<string, string>>;
  /** The file of the key that all gateways sign tokens with, where there may be several. */
  readonly signingKey?: string;
}

/** @param number from 1 */
function instanceOf(making: Making, service: ServiceName, number: number, port: number): Instance {
  const { host, dataDir } = making;
  const isNamed = isPlural(making, service) && activeActiveServices.includes(service);
  return {
    name: number === 1 ? service : `${service}-${number}`,
    service,
    url: urlOf(host, port),
    file: join(number === 1 ? dataDir : join(dataDir, `replica-${number}`), `${service}.sqlite`),
    group: groupOf(service, isNamed ? String(number) : undefined),
  };
}

function specOf(making: Making, instance: Instance): ProcessSpec {
  const { dataDir, env, envOf, signingKey } = making;
  const { name, service, url, file } = instance;
  const own = { ...env, ...envOf?.(service), [services[service].setting]: new URL(url).port || "80" };
  const isOneOfSeveral = signingKey !== undefined && mayBeSeveral(service);
  return {
    ...{ name, entry: join(ROOT, "services", service, "main.ts") },
    env: isOneOfSeveral ? instanceEnv(own, instance, dataDir, signingKey) : own,
    ready: { kind: "http", url: `${url}/readiness` },
    ...(isOneOfSeveral ? { file } : {}),
  };
}

/** Whether several instances of a service may run in a store. */
function isPlural({ signingKey }: Making, service: ServiceName): boolean {
  return signingKey !== undefined && mayBeSeveral(service);
}

/** Whether several instances of a service may run. A service that was added may know of no other. */
function mayBeSeveral(service: ServiceName): boolean {
  return activeActiveServices.includes(service) || replicableServices.includes(service);
}

/** Of one of several instances: a directory of its own, and the keys and snapshots of all. */
function instanceEnv(
  env: Readonly<Record<string, string>>,
  { service, file, group }: Instance,
  dataDir: string,
  signingKey: string,
) {
  const common = { OPERATOR_KEY_FILE: join(dataDir, "operator.jwk"), ...env, DATA_DIR: dirname(file) };
  const jwks = { AUTH_JWKS_FILE: join(dataDir, "jwks.json") };
  const snapshots = { SNAPSHOTS: join(dataDir, "snapshots") };
  if (replicableServices.includes(service)) return { ...jwks, ...snapshots, ...common, REPLICATION: "on" };
  const named = { ...common, INSTANCE: group.slice(service.length + 1) };
  // Each gateway writes the public keys beside its database; the others read those of the first one.
  if (service !== "api-gateway") return { ...jwks, ...named };
  const hasKey = (env.AUTH_SIGNING_KEY ?? env.AUTH_SIGNING_KEY_FILE) !== undefined;
  return { ACCEPT: "replicated", ...(hasKey ? {} : { AUTH_SIGNING_KEY_FILE: signingKey }), ...named };
}

/** The URL of a port of this machine. A host that stands for every interface is replaced by the loopback address. */
export function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

function choosePorts(host: string, wanted: Partial<Ports>): Ports {
  const free = freePorts(serviceNames.length + 1, host);
  const choose = (name: ProcessName) => wanted[name] || (free.pop() ?? 0);
  return { broker: choose("broker"), ...forEachService(choose) };
}

/** The embedded broker as a process. */
export function brokerProcess(env: Readonly<Record<string, string>>, port: number): ProcessSpec {
  return {
    name: "broker",
    entry: join(ROOT, "redpanda/embedded/main.ts"),
    env,
    ready: { kind: "port", host: "127.0.0.1", port },
  };
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
