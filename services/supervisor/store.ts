import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describeProvisioned, provision } from "@distributed-messaging/redpanda/provision";
import {
  changeLogTopics,
  forEachService,
  replicableServices,
  type ServiceName,
  serviceNames,
  services,
  storeTopics,
} from "@distributed-messaging/services/registry";
import { freePorts } from "./ports.ts";
import type { ProcessSpec } from "./process.ts";
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
}

/**
 * The whole store on one machine: the embedded broker, unless a running one is named, and every service, each in a
 * process that ends when this one does. A process can run several stores.
 */
export class StoreSupervisor extends Supervisor {
  readonly ports: Ports;
  /** The value of KAFKA_BROKERS. */
  readonly brokers: string;
  /** Every process of every service, in the order in which they are shown. */
  readonly instances: readonly Instance[];

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
    const instances = serviceNames.flatMap((service) =>
      instancesOf(service, host, ports[service], dataDir, options.replicas),
    );
    const processes = instances.map(({ name, service, url, file }) => {
      const own = {
        ...env,
        ...options.envOf?.(service),
        [services[service].setting]: new URL(url).port || "80",
      };
      const isReplicated = options.replicas !== undefined && replicableServices.includes(service);
      return {
        ...{ name, entry: join(ROOT, "services", service, "main.ts") },
        env: isReplicated ? instanceEnv(own, dirname(file), dataDir) : own,
        ready: { kind: "http", url: `${url}/readiness` } as const,
        ...(isReplicated ? { file } : {}),
      };
    });
    super([...(options.brokers === undefined ? [broker] : []), { processes }], options);
    this.ports = ports;
    this.brokers = brokers;
    this.instances = instances;
  }

  /** The address of a service, without a slash at its end: of several instances, of one that is ready. */
  url(name: ServiceName): string {
    const all = this.instances.filter(({ service }) => service === name);
    const ready = all.find((instance) => this.process(instance.name).state === "ready");
    return (ready ?? all[0])?.url ?? "";
  }
}

function instancesOf(
  service: ServiceName,
  host: string,
  port: number,
  dataDir: string,
  replicas: number | undefined,
): Instance[] {
  const count = replicableServices.includes(service) ? (replicas ?? 1) : 1;
  const ports = [port, ...freePorts(count - 1, host)];
  return ports.map((own, index) => ({
    name: index === 0 ? service : `${service}-${index + 1}`,
    service,
    url: urlOf(host, own),
    file: join(index === 0 ? dataDir : join(dataDir, `replica-${index + 1}`), `${service}.sqlite`),
  }));
}

/** Of one of several instances: a directory of its own, and the keys and snapshots of all. */
function instanceEnv(env: Readonly<Record<string, string>>, ownDir: string, dataDir: string) {
  return {
    OPERATOR_KEY_FILE: join(dataDir, "operator.jwk"),
    AUTH_JWKS_FILE: join(dataDir, "jwks.json"),
    SNAPSHOTS: join(dataDir, "snapshots"),
    ...env,
    DATA_DIR: ownDir,
    REPLICATION: "on",
  };
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
