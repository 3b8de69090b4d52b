import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describeProvisioned, provision } from "@distributed-messaging/redpanda/provision";
import {
  forEachService,
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
}

/**
 * The whole store on one machine: the embedded broker, unless a running one is named, and every service, each in a
 * process that ends when this one does. A process can run several stores.
 */
export class StoreSupervisor extends Supervisor {
  readonly ports: Ports;
  /** The value of KAFKA_BROKERS. */
  readonly brokers: string;
  readonly #host: string;

  constructor(options: StoreOptions) {
    const host = options.env?.HOST || process.env.HOST || "127.0.0.1";
    const ports = choosePorts(host, options.ports ?? {});
    const brokers = options.brokers ?? `127.0.0.1:${ports.broker}`;
    const env = {
      ...definedOnly(process.env),
      ...options.env,
      HOST: host,
      DATA_DIR: resolve(options.dataDir),
      KAFKA_BROKERS: brokers,
      ...Object.fromEntries(serviceNames.map((name) => [services[name].setting, String(ports[name])])),
    };
    const broker: Stage = {
      processes: [brokerProcess(env, ports.broker)],
      // A broker that is shared with others is not provisioned: each service creates the topics that it needs.
      onReady: async () => {
        const done = await provision({ brokers: [brokers], clientId: "supervisor" }, storeTopics);
        // The broker itself logs the topics that it creates.
        for (const line of describeProvisioned({ ...done, created: [] })) {
          options.onLog?.({ process: "broker", source: "supervisor", line });
        }
      },
    };
    const all = serviceNames.map((name) =>
      serviceProcess(name, { ...env, ...options.envOf?.(name) }, urlOf(host, ports[name])),
    );
    super([...(options.brokers === undefined ? [broker] : []), { processes: all }], options);
    this.ports = ports;
    this.brokers = brokers;
    this.#host = host;
  }

  /** The address of a service, without a slash at its end. */
  url(name: ServiceName): string {
    return urlOf(this.#host, this.ports[name]);
  }
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

function serviceProcess(name: ServiceName, env: Readonly<Record<string, string>>, url: string): ProcessSpec {
  return {
    name,
    entry: join(ROOT, "services", name, "main.ts"),
    env,
    ready: { kind: "http", url: `${url}/readiness` },
  };
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
