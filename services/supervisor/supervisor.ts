import { resolve } from "node:path";
import {
  forEachService,
  type ServiceName,
  serviceNames,
  services,
  storeTopics,
} from "@distributed-messaging/services/registry";
import { freePorts } from "./ports.ts";
import { ProcessGroup, type ProcessStatus } from "./process-group.ts";
import type { ProcessLog, ProcessTimings } from "./process-spec.ts";
import { brokerProcess, type Ports, serviceProcess, urlOf } from "./store.ts";

export interface SupervisorOptions {
  /** Where everything is kept. */
  readonly dataDir: string;
  /** Added to the environment of this process, for all processes of the store. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where each listens; 0, like a missing one, stands for a free port. */
  readonly ports?: Partial<Ports>;
  /** `host:port,…` of a broker that runs elsewhere; without it the embedded one is run. */
  readonly brokers?: string;
  readonly onLog?: (log: ProcessLog) => void;
  readonly timings?: Partial<ProcessTimings>;
}

/**
 * The whole store on one machine, as processes of this one: the embedded broker, unless another is named, and the
 * four services. Whatever crashes is started again. Nothing outlives this process. Several can be used at once.
 */
export class Supervisor {
  readonly ports: Ports;
  /** What KAFKA_BROKERS of the services is. */
  readonly brokers: string;
  readonly #host: string;
  readonly #group: ProcessGroup;

  constructor(options: SupervisorOptions) {
    this.#host = options.env?.HOST || process.env.HOST || "127.0.0.1";
    this.ports = choosePorts(this.#host, options.ports ?? {});
    this.brokers = options.brokers ?? `127.0.0.1:${this.ports.broker}`;
    const shared = {
      ...definedOnly(process.env),
      ...options.env,
      HOST: this.#host,
      DATA_DIR: resolve(options.dataDir),
      KAFKA_BROKERS: this.brokers,
      ...Object.fromEntries(serviceNames.map((name) => [services[name].setting, String(this.ports[name])])),
    };
    const embedded = options.brokers === undefined;
    const say = (line: string) => options.onLog?.({ process: "broker", source: "supervisor", line });
    this.#group = new ProcessGroup({
      stages: [
        ...(embedded
          ? [
              {
                processes: [brokerProcess(shared, this.ports.broker)],
                onReady: () => makeTopics(this.brokers, say),
              },
            ]
          : []),
        { processes: serviceNames.map((name) => serviceProcess(name, shared, this.url(name))) },
      ],
      ...(options.onLog === undefined ? {} : { onLog: options.onLog }),
      ...(options.timings === undefined ? {} : { timings: options.timings }),
    });
  }

  /** The address of a service, without a slash at its end. */
  url(name: ServiceName): string {
    return urlOf(this.#host, this.ports[name]);
  }

  /**
   * Starts the broker, the topics, then the services; resolves once all are ready. If that fails nothing is left
   * running.
   *
   * @throws StartFailed
   */
  startAll(): Promise<void> {
    return this.#group.startAll();
  }

  /** Stops the services, then the broker; what does not stop in time is killed. */
  stopAll(): Promise<void> {
    return this.#group.stopAll();
  }

  /** Kills everything at once. */
  killAll(): Promise<void> {
    return this.#group.killAll();
  }

  processes(): ProcessStatus[] {
    return this.#group.processes();
  }

  /** Starts what stop() has stopped, and resolves once it is ready. @throws UnknownProcess, WrongState, StartFailed */
  start(name: string): Promise<void> {
    return this.#group.process(name).start();
  }

  /** SIGTERM, later SIGKILL; stays down until start(). Resolves when it is down. @throws UnknownProcess */
  stop(name: string): Promise<void> {
    return this.#group.process(name).stop();
  }

  /** SIGKILL; it is started again. Resolves when it is dead: ready() waits for the restart. @throws UnknownProcess, WrongState */
  kill(name: string): Promise<void> {
    return this.#group.process(name).kill();
  }

  /** SIGSTOP. @throws UnknownProcess, WrongState */
  pause(name: string): void {
    this.#group.process(name).pause();
  }

  /** SIGCONT. @throws UnknownProcess, WrongState */
  resume(name: string): void {
    this.#group.process(name).resume();
  }

  /** Resolves once the process is ready. @throws UnknownProcess, WrongState or StartFailed when it is stopped */
  ready(name: string): Promise<void> {
    return this.#group.process(name).ready();
  }
}

function choosePorts(host: string, wanted: Partial<Ports>): Ports {
  const free = freePorts(serviceNames.length + 1, host);
  const choose = (name: keyof Ports) => wanted[name] || (free.pop() ?? 0);
  return { broker: choose("broker"), ...forEachService(choose) };
}

/** On the broker that is ours alone; on any other, the services make what is missing and touch nothing else. */
async function makeTopics(brokers: string, say: (line: string) => void): Promise<void> {
  const { describeProvisioned, provision } = await import("@distributed-messaging/redpanda/provision");
  const done = await provision({ brokers: [brokers], clientId: "supervisor" }, storeTopics);
  for (const line of describeProvisioned(done)) say(line);
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
