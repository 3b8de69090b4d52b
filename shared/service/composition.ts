import {
  changesTopic,
  deadLetterTopic,
  type Effect,
  groupOf,
  type Handler,
  type Logger,
  type MessageDefinition,
  Messaging,
  type Middleware,
  type Migration,
  ownerTopic,
  Rebuild,
  type RetryPolicy,
  type Runtime,
  rebuildGroup,
  type ServiceDatabase,
  type TimerHandler,
  type Topic,
  type Transport,
  type UnitOfWork,
} from "@distributed-messaging/messaging";
import { type AsyncApiDocument, asyncApi } from "@distributed-messaging/messaging/asyncapi";
import type { Tracer } from "@opentelemetry/api";
import type { TObject } from "@sinclair/typebox";
import { type CommonConfig, instanceOf, isReplicated } from "./config.ts";
import type { TokenVerifier } from "./identity.ts";
import { type Kept, keptTopics, Retention } from "./retention.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/**
 * A service as a value: its process, the simulation, the tests and the AsyncAPI document are all built from it.
 *
 * Its topics follow from its messages: it reads those of the messages that it handles, and writes those of the
 * definitions whose `source` it is.
 */
export interface Composition<Config extends CommonConfig = CommonConfig, Parts = unknown> {
  /** Also its consumer group, the source of its messages, and the name of its database file. */
  readonly name: string;
  /** One sentence for its documents. */
  readonly description: string;
  /** Of its interfaces, in its documents: an SPDX identifier. */
  readonly license?: string;
  /** Its settings: `commonSettings`, the port that `portSetting(name)` names, and its own. */
  readonly config: TObject & { readonly static: Config };
  readonly migrations: readonly Migration[];
  /** Every message of the system: a message that the service does not know is parked, one it does not handle skipped. */
  readonly messages: readonly MessageDefinition[];
  /** Whether the service is not ready while the broker is unavailable. */
  readonly brokerRequired: boolean;
  /** The port of a page on the same host whose scripts may send requests to the service. */
  pagePort?(config: Config): number;
  /** Prepares everything on an open, migrated database. Starts nothing. */
  compose(database: ServiceDatabase, config: Config, log: Logger): Composed<Parts>;
}

/** The parts of a composition, as `compose` returns them. */
export type PartsOf<Service> = Service extends { compose(...args: never[]): Composed<infer Parts> }
  ? Parts
  : never;

interface Composed<Parts> {
  /** What its HTTP routes and its tests work with. */
  readonly parts: Parts;
  readonly handlers: readonly Handler[];
  readonly timers?: readonly TimerHandler[];
  /** The side effects that its transactions may enqueue. */
  readonly effects?: readonly Effect[];
  /** Runs around every handler, the first one outermost. */
  readonly middleware?: readonly Middleware[];
  readonly retry?: RetryPolicy;
  /** As in the options of the kit. */
  readonly fetchIntervalMs?: number;
  /** What can be rebuilt from the topics: the tables, and the handlers that fill them. */
  readonly projections?: { readonly handlers: readonly Handler[]; readonly tables: readonly string[] };
  /** What is kept for a time; absent: nothing is deleted. Its tables are those of `retentionMigration`. */
  readonly retention?: Kept | undefined;
  /** Verifies the tokens of requests. */
  readonly verifier: TokenVerifier;
  readonly gauges?: readonly Gauge[];
  /** Adds further metrics, of what is measured when it happens. */
  measure?(metrics: Metrics): void;
  /**
   * Called in a transaction, at the end of a recovery of an older copy of the database: what told the lost database from others, for
   * clients, does not tell this one.
   */
  recovered?(): void;
  /** Runs at every start, before requests are answered. A rejection ends the process. */
  started?(unitOfWork: UnitOfWork): Promise<void>;
}

/** A metric that is read when the metrics are scraped. */
interface Gauge {
  readonly name: string;
  readonly help: string;
  read(): number;
}

/** Gives a composition the types of its configuration and its parts. */
export function defineService<Config extends CommonConfig, Parts>(
  composition: Composition<Config, Parts>,
): Composition<Config, Parts> {
  return composition;
}

interface Surroundings {
  readonly database: ServiceDatabase;
  /** @param topics are created when they are missing */
  connect(clientId: string, topics: readonly Topic[]): Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Records what happens to messages. */
  readonly tracer?: Tracer;
  /** In place of the policy of the service. */
  readonly retry?: RetryPolicy;
}

export interface Assembled<Parts> extends Omit<Composed<Parts>, "retention"> {
  readonly messaging: Messaging;
  /** Present where there are projections. */
  readonly rebuild: Rebuild | undefined;
  /** Present where something is kept for a time. */
  readonly retention: Retention | undefined;
}

/** Builds a service in its surroundings. Nothing of it runs until `messaging` and `retention` are started and `rebuild` resumed. */
export function assemble<Config extends CommonConfig, Parts>(
  composition: Composition<Config, Parts>,
  config: Config,
  { database, connect, runtime, log, ...surroundings }: Surroundings,
): Assembled<Parts> {
  const { name: service, messages } = composition;
  const composed = composition.compose(database, config, log);
  const retry = surroundings.retry ?? composed.retry;
  const deadLetters = deadLetterTopic(service);
  const { reads, writes } = topicsOf(composition, composed);
  const topics = [...keptTopics(distinct([...reads, ...writes]), config), ownerTopic(service)];
  const definitions = messages.filter(({ topic }) => reads.some(({ name }) => name === topic.name));
  const instance = instanceOf(config);
  const transport = connect(service, topics);
  const messaging = new Messaging({
    service,
    ...(instance === undefined ? {} : { instance }),
    database,
    transport,
    ownership: transport.follow !== undefined,
    definitions,
    handlers: composed.handlers,
    timers: composed.timers ?? [],
    middleware: composed.middleware ?? [],
    effects: composed.effects ?? [],
    fetchIntervalMs: composed.fetchIntervalMs ?? 0,
    deadLetterTopic: deadLetters.name,
    runtime,
    log,
    inboxRetentionMs: config.INBOX_RETENTION,
    gaps: config.GAPS,
    ...(retry === undefined ? {} : { retry }),
    ...(surroundings.tracer === undefined ? {} : { tracer: surroundings.tracer }),
  });
  const rebuild =
    composed.projections &&
    new Rebuild({
      ...composed.projections,
      service,
      ...(instance === undefined ? {} : { instance }),
      database,
      unitOfWork: messaging.unitOfWork,
      // A connection of its own, so that a rebuild does not delay new messages.
      subscriber: connect(`${service}-rebuild`, topics),
      definitions,
      runtime,
      log,
    });
  const { unitOfWork } = messaging;
  const retention =
    composed.retention && new Retention({ database, kept: composed.retention, unitOfWork, runtime, log });
  return { ...composed, messaging, rebuild, retention };
}

/** The topics that a service reads, and those that it writes: it names and uses no others. */
function topicsOf(
  { name, messages }: Pick<Composition, "name" | "messages">,
  { handlers }: Pick<Composed<unknown>, "handlers">,
): { readonly reads: readonly Topic[]; readonly writes: readonly Topic[] } {
  const sent = messages.filter(({ source }) => source === name);
  return {
    reads: distinct(handlers.map(({ definition }) => definition.topic)),
    writes: distinct([...sent.map(({ topic }) => topic), deadLetterTopic(name)]),
  };
}

function distinct(topics: readonly Topic[]): Topic[] {
  return [...new Map(topics.map((topic) => [topic.name, topic])).values()];
}

/** What a service sends and receives, as an AsyncAPI document: its own topics, operations and messages. */
export function asyncApiOf(
  composition: Pick<Composition, "name" | "description" | "license" | "messages">,
  composed: Pick<Composed<unknown>, "handlers">,
): AsyncApiDocument {
  const { name, description, license, messages } = composition;
  const { reads, writes } = topicsOf(composition, composed);
  const topics = distinct([...reads, ...writes]);
  return asyncApi({
    title: `Messages of ${name}`,
    version: "0.1.0",
    about: description,
    ...(license === undefined ? {} : { license }),
    servers: {},
    topics,
    definitions: messages.filter(({ topic }) => topics.some(({ name: own }) => own === topic.name)),
    receivers: { [name]: composed.handlers.map(({ definition }) => definition) },
  });
}

/** A right that a service needs on the broker. Each includes `DESCRIBE`. */
export interface AccessRight {
  readonly resource: "topic" | "group";
  readonly name: string;
  readonly operation: "READ" | "WRITE" | "DELETE";
}

/** The rights that a service needs, and no more, once its topics exist. */
export function accessOf(
  composition: Pick<Composition, "name" | "messages">,
  composed: Pick<Composed<unknown>, "handlers" | "projections">,
  config: CommonConfig,
): AccessRight[] {
  const { name } = composition;
  const { reads, writes } = topicsOf(composition, composed);
  const instance = instanceOf(config);
  const rebuilds = composed.projections === undefined ? [] : [rebuildGroup(name, instance)];
  const groups = [groupOf(name, instance), ...rebuilds];
  const own = [ownerTopic(name), ...(isReplicated(config) ? [changesTopic(name)] : [])];
  // What a snapshot has is deleted from the change log.
  const trimmed = isReplicated(config) ? [changesTopic(name)] : [];
  return [
    ...own.flatMap((topic) =>
      (["READ", "WRITE"] as const).map(
        (operation) => ({ resource: "topic", name: topic.name, operation }) as const,
      ),
    ),
    ...trimmed.map((topic) => ({ resource: "topic", name: topic.name, operation: "DELETE" }) as const),
    ...reads.map((topic) => ({ resource: "topic", name: topic.name, operation: "READ" }) as const),
    ...writes.map((topic) => ({ resource: "topic", name: topic.name, operation: "WRITE" }) as const),
    ...groups.map((group) => ({ resource: "group", name: group, operation: "READ" }) as const),
  ];
}
