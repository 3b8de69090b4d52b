import type {
  Handler,
  Logger,
  Messaging,
  Rebuild,
  RetryPolicy,
  ServiceDatabase,
} from "@distributed-messaging/messaging";
import { assemble as assembleService, type Composition } from "@distributed-messaging/service/composition";
import { type CommonConfig, type Environment, loadConfig } from "@distributed-messaging/service/config";
import type { Faults } from "./faults.ts";
import type { HandlerWatch } from "./handler-watch.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Transport } from "./mutation.ts";
import type { Network } from "./network.ts";
import type { Prng } from "./prng.ts";
import type { ProcessRuntime } from "./process-runtime.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Trace } from "./trace.ts";

/** How a service is run in the simulation. */
export interface ServiceDefinition<Parts> {
  readonly composition: Composition<CommonConfig, Parts>;
  /** Settings that differ from their defaults. */
  readonly env?: Environment;
  /** Replaces what the service does once its messaging runs. A rejection ends the process. */
  started?(running: Running<Parts>): Promise<unknown>;
}

/** A life of a service, with everything in it. */
export interface Running<Parts> {
  readonly incarnation: Incarnation;
  readonly messaging: Messaging;
  readonly rebuild: Rebuild | undefined;
  readonly parts: Parts;
  readonly handlers: readonly Handler[];
  readonly newId: () => string;
  readonly started: () => Promise<unknown>;
  stopping: boolean;
}

/** What a process lives in. */
export interface Surroundings {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  /** Something that must never happen has happened. */
  violation(text: string): void;
  /** Called after every COMMIT of a service. */
  committed(service: string): void;
}

/** Puts a service together, as its main does; nothing of it runs yet. */
export function assemble<Parts>(
  definition: ServiceDefinition<Parts>,
  world: {
    readonly incarnation: Incarnation;
    readonly database: ServiceDatabase;
    readonly transport: Transport;
    readonly runtime: ProcessRuntime;
    readonly handlerWatch: HandlerWatch;
    readonly retry: RetryPolicy;
    readonly trace: Trace;
  },
): Running<Parts> {
  const { incarnation, database, transport, runtime, handlerWatch, retry, trace } = world;
  const { composition, env = {} } = definition;
  const watched: typeof composition = {
    ...composition,
    compose(inDatabase, config) {
      const composed = composition.compose(inDatabase, config);
      const handlers = handlerWatch.watch(composed.handlers, database, incarnation);
      return {
        ...composed,
        handlers,
        timers: [...(composed.timers ?? []), ...handlerWatch.timers(database)],
      };
    },
  };
  const { messaging, rebuild, parts, handlers, started } = assembleService(
    watched,
    loadConfig(composition.config, env, composition.name),
    { database, connect: () => transport, runtime, log: logTo(trace, composition.name), retry },
  );
  const running: Running<Parts> = {
    incarnation,
    messaging,
    rebuild,
    parts,
    handlers,
    newId: () => runtime.newId(),
    started: async () => (definition.started ? definition.started(running) : started?.(messaging.unitOfWork)),
    stopping: false,
  };
  return running;
}

function logTo(trace: Trace, service: string): Logger {
  const say = (_: object, text: string) => trace.note(service, text);
  return { debug() {}, info: say, warn: say, error: say };
}
