import { allMessages } from "@distributed-messaging/contracts";
import {
  deadLetterTopic,
  type Handler,
  type Logger,
  Messaging,
  type Migration,
  Rebuild,
  type RetryPolicy,
  type ServiceDatabase,
  type TimerHandler,
} from "@distributed-messaging/messaging";
import type { Faults } from "./faults.ts";
import type { HandlerWatch } from "./handler-watch.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Transport } from "./mutation.ts";
import type { Network } from "./network.ts";
import type { Prng } from "./prng.ts";
import type { ProcessRuntime } from "./process-runtime.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Trace } from "./trace.ts";

/** A service, as its main puts it together. */
export interface ServiceDefinition<Parts> {
  readonly name: string;
  readonly migrations: readonly Migration[];
  build(database: ServiceDatabase): Built<Parts>;
  /** What main does once messages flow. A rejection ends the process, as it ends main. */
  started(running: Running<Parts>): Promise<unknown>;
}

interface Built<Parts> {
  readonly parts: Parts;
  readonly handlers: readonly Handler[];
  readonly timers?: readonly TimerHandler[];
  /** The copies that it can make anew: who keeps them, and where. */
  readonly copies?: { readonly handlers: readonly Handler[]; readonly tables: readonly string[] };
}

/** A life of a service, with everything in it. */
export interface Running<Parts> {
  readonly incarnation: Incarnation;
  readonly messaging: Messaging;
  readonly rebuild: Rebuild | undefined;
  readonly parts: Parts;
  readonly handlers: readonly Handler[];
  readonly newId: () => string;
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
  const { name: service } = definition;
  const { parts, handlers, timers = [], copies } = definition.build(database);
  const log = logTo(trace, service);
  const messaging = new Messaging({
    service,
    database,
    transport,
    definitions: allMessages,
    handlers: handlerWatch.watch(handlers, database, incarnation),
    timers: [...timers, ...handlerWatch.timers(database)],
    deadLetterTopic: deadLetterTopic(service).name,
    runtime,
    log,
    retry,
  });
  const { unitOfWork } = messaging;
  const rebuild =
    copies &&
    new Rebuild({
      ...copies,
      ...{ service, database, unitOfWork, subscriber: transport, definitions: allMessages, runtime, log },
    });
  return { incarnation, messaging, rebuild, parts, handlers, newId: () => runtime.newId(), stopping: false };
}

function logTo(trace: Trace, service: string): Logger {
  const say = (_: object, text: string) => trace.note(service, text);
  return { debug() {}, info: say, warn: say, error: say };
}
