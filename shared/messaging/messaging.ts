import type { Tracer } from "@opentelemetry/api";
import { isCompacted, type MessageDefinition, ownerTopic } from "./contract/define.ts";
import { migrate, newerSteps, type ServiceDatabase } from "./database.ts";
import { DeadLetterAdmin } from "./dead-letters/admin.ts";
import { DeadLetterReplayer } from "./dead-letters/replay.ts";
import { DeadLetterStore } from "./dead-letters/store.ts";
import { EffectAdmin } from "./effects/admin.ts";
import type { Effect } from "./effects/define.ts";
import { Effects } from "./effects/effects.ts";
import { DatabaseInUse, isLogged, NotOwner, UsageError } from "./errors.ts";
import { Consumer, type GapPolicy } from "./inbox/consumer.ts";
import { CrashGuard } from "./inbox/crash-guard.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./inbox/decision.ts";
import { Horizon } from "./inbox/horizon.ts";
import { type Handler, Inbox, type Middleware } from "./inbox/inbox.ts";
import { Offsets } from "./inbox/offsets.ts";
import { PartitionStops } from "./inbox/partition-stops.ts";
import { checkInstance, groupOf, sourceOf } from "./instance.ts";
import { Observed, type Observer } from "./observer.ts";
import { OutboxAdmin } from "./outbox/admin.ts";
import { Outbox } from "./outbox/outbox.ts";
import { ParkedRecords } from "./outbox/parked.ts";
import { PartitionCounts } from "./outbox/partition-counts.ts";
import { Relay, type TopicRefusal } from "./outbox/relay.ts";
import { Ownership, type OwnershipState } from "./ownership/ownership.ts";
import { hasChangeLog } from "./replication/tables.ts";
import type { Logger, Runtime } from "./runtime.ts";
import { kitMigrations } from "./schema.ts";
import { type TimerHandler, Timers } from "./timers/timers.ts";
import { Tracing } from "./tracing.ts";
import { TopicCheck, type TopicFinding } from "./transport/topic-check.ts";
import type { Transport } from "./transport/transport.ts";
import { UnitOfWork } from "./unit-of-work.ts";

/*
 * A service that takes part in messaging: transactional outbox, idempotent inbox, dead letters and timers in one
 * SQLite file, which the service's own tables share.
 *
 * A message takes this route:
 *
 *   transport/kafka       reads a batch of one partition, from the offset that is stored in SQLite
 *   inbox/consumer.ts     puts the batch into a unit of work
 *   unit-of-work.ts       runs it with whatever else is queued: BEGIN IMMEDIATE … COMMIT, one fsync
 *   inbox/inbox.ts        decodes each message, claims its id, calls its handler
 *   handler, domain, store of the service: load, decide, save, `transaction.emit`
 *   outbox/outbox.ts      stores what was emitted
 *   (commit)              effect, claim, offset, emitted messages or dead letter: all or none
 *   outbox/relay.ts       sends what was emitted, in order, and deletes it once the broker has acknowledged it
 *
 * A request takes the same one from `unitOfWork.run` on, and is answered after the commit.
 *
 * Delivery is at least once on both sides: the relay repeats a send whose answer was lost, the broker redelivers. The
 * claim makes the effect of each message happen once. The order of a key holds because its records are in one
 * partition, one send is in flight, and a partition is handled one record after the other.
 *
 * What happens after an attempt, ack, retry or park, is decided in inbox/decision.ts only. A message that is parked
 * becomes a dead letter (dead-letters/), and the later ones of its key are blocked, so the order of the key holds there
 * too; an operator replays or discards it, and the blocked ones are released. A message during which the process ends
 * is found by inbox/crash-guard.ts. Timers (timers/) fire in units of work like messages. Projections of other
 * services' events can be rebuilt from the topics (projections/).
 */

export interface MessagingOptions {
  /** The service: the source of its messages and the name of its consumer group. */
  readonly service: string;
  /**
   * The name of this instance, where several work at the same time, each with a database of its own. Each reads every
   * message, in the consumer group `<service>.<instance>`, and sends with the source `<service>/<instance>`. For a service
   * whose state follows from the topics. With `ownership`, each instance has one process and one file; an empty file takes
   * the place of one that is lost. 1 to 32 lower-case letters, digits and hyphens.
   *
   * @defaultValue none: the service runs once
   */
  readonly instance?: string;
  /** The service's SQLite file, from `openDatabase`: the kit keeps its own tables in it. */
  readonly database: ServiceDatabase;
  /** How it reaches the broker: `kafkaTransport(…)`, or a `MemoryBroker` in tests. */
  readonly transport: Transport;
  /** All messages that may be on the topics that it reads. */
  readonly definitions: readonly MessageDefinition[];
  /** For the messages that the service handles; those of other types are skipped. */
  readonly handlers: readonly Handler[];
  /** For the timers that its transactions set. @defaultValue none */
  readonly timers?: readonly TimerHandler[];
  /** The side effects that its transactions may enqueue. @defaultValue none */
  readonly effects?: readonly Effect[];
  /** Gets a copy of each dead letter, for people who look at topics. */
  readonly deadLetterTopic: string;
  /** Clock, timers and random numbers: `systemRuntime`, but in simulations. */
  readonly runtime: Runtime;
  /** Any logger with the methods of pino. */
  readonly log: Logger;
  /**
   * How long the inbox keeps a claim, in milliseconds. A message that is delivered again after that is parked or stops
   * its partition.
   *
   * @defaultValue 7 days
   */
  readonly inboxRetentionMs?: number;
  /** What happens where retention removed records before they were read. @defaultValue `stop` */
  readonly gaps?: GapPolicy;
  /**
   * For a service whose messages nobody waits for, such as one that keeps projections: after messages were fetched,
   * the next fetch begins at least so long after, and what has arrived meanwhile is handled in one unit of work.
   * Requests wait for fewer commits then. Milliseconds, up to 1,000.
   *
   * @defaultValue 0
   */
  readonly fetchIntervalMs?: number;
  /**
   * Whether one file only may be the service's: a second process, on an empty file, a copy or a backup, does nothing and
   * says so. Needs a transport that follows topics, and `ownerTopic(service)` among its topics. With the database of a
   * `Replica` it has no meaning: the change log says who leads.
   *
   * @defaultValue `false`
   */
  readonly ownership?: boolean;
  /** How a message whose handler failed is retried before it is parked. @defaultValue 10 attempts, up to 30 s apart */
  readonly retry?: RetryPolicy;
  /** Runs around every handler, the first one outermost. @defaultValue none */
  readonly middleware?: readonly Middleware[];
  /**
   * Records what happens to messages: one of OpenTelemetry's API, `trace.getTracer(…)`. Without one, messages carry the
   * trace of their cause and nothing is recorded.
   *
   * @defaultValue none
   */
  readonly tracer?: Tracer;
}

const INBOX_RETENTION_MS = 7 * 24 * 60 * 60 * 1000;
const PRUNE_EVERY_MS = 60_000;
/** The consumer sends heartbeats between fetches. */
const MAX_FETCH_INTERVAL_MS = 1_000;

/** The databases that kits work on: a second relay or consumer on one would break the order of messages. */
const inUse = new WeakSet<ServiceDatabase>();

/** The kit of one service. The service adds handlers, and writes through `unitOfWork`. */
export class Messaging {
  readonly unitOfWork: UnitOfWork;
  readonly outbox: Outbox;
  /** Outgoing records that the broker refuses. */
  readonly parked: ParkedRecords;
  readonly outboxAdmin: OutboxAdmin;
  readonly consumer: Consumer;
  readonly timers: Timers;
  readonly effects: Effects;
  readonly effectAdmin: EffectAdmin;
  readonly deadLetters: DeadLetterStore;
  readonly deadLetterAdmin: DeadLetterAdmin;
  /** Partitions that wait for an operator. */
  readonly partitionStops: PartitionStops;
  readonly #observed = new Observed();
  readonly #relay: Relay;
  readonly #partitionCounts: PartitionCounts;
  readonly #topicCheck: TopicCheck;
  readonly #replayer: DeadLetterReplayer;
  readonly #inbox: Inbox;
  readonly #horizon: Horizon;
  readonly #offsets: Offsets;
  /** Whether this database had handled nothing before. */
  readonly #isNew: boolean;
  readonly #crashGuard: CrashGuard;
  readonly #ownership: Ownership | undefined;
  readonly #options: MessagingOptions;
  #cancelPruning: () => void = () => {};
  #started = false;
  #stopped: Promise<void> | undefined;

  /**
   * @throws UsageError when handlers, timers, definitions and topics do not fit together, a setting makes no sense, or the
   *   database is that of a replicated service and was not opened by a `Replica`;
   *   MigrationMismatch when another version of the kit made the tables
   */
  constructor(options: MessagingOptions) {
    const { database, service, transport, runtime, log, definitions, handlers } = options;
    const { retry = defaultRetryPolicy, middleware = [], inboxRetentionMs = INBOX_RETENTION_MS } = options;
    if (!(inboxRetentionMs >= 0)) {
      throw new UsageError(`the inbox cannot keep claims for ${inboxRetentionMs} ms`);
    }
    const { fetchIntervalMs = 0, instance } = options;
    checkInstance(instance);
    if (!(fetchIntervalMs >= 0 && fetchIntervalMs <= MAX_FETCH_INTERVAL_MS)) {
      throw new UsageError(
        `fetchIntervalMs must be from 0 to ${MAX_FETCH_INTERVAL_MS}, not ${fetchIntervalMs}`,
      );
    }
    const hasTopic = (name: string) => transport.hasTopic?.(name) ?? true;
    const ownTopics = options.ownership === true ? [ownerTopic(service)] : [];
    const topics = [...ownTopics, ...definitions.map(({ topic }) => topic)];
    for (const name of [options.deadLetterTopic, ...topics.map((topic) => topic.name)]) {
      if (!hasTopic(name)) throw new UsageError(`the transport was not given the topic ${name}`);
    }
    if (database.replication !== undefined && instance !== undefined) {
      throw new UsageError(`${service} is replicated: its instances have no names`);
    }
    if (database.replication === undefined && hasChangeLog(database)) {
      throw new UsageError(`${database.path} is of a replicated service: a Replica opens it`);
    }
    migrate(database, "messaging", kitMigrations, log);
    database.replication?.begin();
    this.#options = options;
    const tracing = options.tracer && new Tracing(options.tracer, groupOf(service, instance));
    this.parked = new ParkedRecords(database);
    this.outbox = new Outbox(database, this.parked, service, sourceOf(service, instance));
    this.timers = new Timers({ database, handlers: options.timers ?? [], runtime, log, tracing });
    this.effects = new Effects({ database, definitions: options.effects ?? [], runtime, log, tracing });
    const { outbox, timers, effects } = this;
    const observed = this.#observed;
    const unitOfWork = new UnitOfWork({
      ...{ database, outbox, timers, effects, observed, runtime, log, hasTopic, tracing },
      isHeld: () => this.#ownership?.isHeld() ?? false,
    });
    this.unitOfWork = unitOfWork;
    // The change log of a replicated service says who leads it.
    this.#ownership =
      options.ownership === true && database.replication === undefined
        ? new Ownership({
            ...{ service, instanceName: instance, database, unitOfWork, transport, runtime, log },
            owned: () => this.#begin(),
            refused: (text) => void this.#refuse(text),
          })
        : undefined;
    database.replication?.onLost(({ message }) => void this.#refuse(message));
    this.effectAdmin = new EffectAdmin({ database, unitOfWork, wake: () => effects.wake() });
    const { parked } = this;
    const horizon = new Horizon(database, inboxRetentionMs, runtime);
    this.#horizon = horizon;
    const inbox = new Inbox({ database, definitions, handlers, middleware, horizon, log, tracing });
    this.#inbox = inbox;
    const deadLetters = new DeadLetterStore(database, options.deadLetterTopic);
    this.deadLetters = deadLetters;
    const crashGuard = new CrashGuard(database, unitOfWork);
    this.#crashGuard = crashGuard;
    const offsets = new Offsets(database);
    this.#offsets = offsets;
    this.#isNew = offsets.isEmpty();
    const partitionStops = new PartitionStops({ database, offsets, unitOfWork, log });
    this.partitionStops = partitionStops;
    const definedCount = (topic: string) => transport.partitionsOf?.(topic);
    const publisher = new PartitionCounts({
      ...{ database, stops: partitionStops, unitOfWork, publisher: transport, definedCount },
    });
    this.#partitionCounts = publisher;
    this.#relay = new Relay({ outbox, parked, unitOfWork, publisher, observed, runtime, log, tracing });
    this.outboxAdmin = new OutboxAdmin({
      database,
      outbox,
      parked,
      unitOfWork,
      wake: () => this.#relay.wake(),
    });
    const compacted = new Set(
      definitions.filter(({ topic }) => isCompacted(topic)).map(({ topic }) => topic.name),
    );
    const handling = { unitOfWork, inbox, deadLetters, crashGuard, retry, observed, runtime, log, tracing };
    this.consumer = new Consumer({
      ...handling,
      name: groupOf(service, instance),
      subscriber: transport,
      offsets,
      partitionStops,
      horizon,
      isCompacted: (topic) => compacted.has(topic),
      gaps: options.gaps ?? "stop",
      fetchIntervalMs,
    });
    this.#topicCheck = new TopicCheck({ transport, runtime, log, isHealthy: () => this.healthy() });
    this.#replayer = new DeadLetterReplayer(handling);
    const replayer = this.#replayer;
    this.deadLetterAdmin = new DeadLetterAdmin({
      database,
      deadLetters,
      replayer,
      inbox,
      unitOfWork,
      runtime,
    });
  }

  /**
   * Starts sending, consuming and firing timers. Returns at once: the broker may be away.
   *
   * @throws UsageError when it was started or stopped before; DatabaseInUse when another kit works on the database
   */
  start(): void {
    const { database } = this.#options;
    if (this.#started || this.#stopped !== undefined) throw new UsageError("a kit is started once");
    if (inUse.has(database)) throw new DatabaseInUse(`another kit works on ${database.path}`);
    inUse.add(database);
    this.#started = true;
    if (this.#ownership === undefined) this.#begin();
    else this.#ownership.start();
  }

  /** Whether this process is the service; undefined without the option `ownership`. */
  ownership(): OwnershipState | undefined {
    return this.#ownership?.state();
  }

  #begin(): void {
    if (this.#stopped !== undefined) return;
    const owner = this.#ownership?.state();
    if (owner?.state === "owner") this.outbox.epoch = owner.epoch;
    const failed = (error: unknown) => this.#options.log.warn({ err: error }, "the start was not recorded");
    this.unitOfWork.run(() => this.#crashGuard.setRunning(true)).catch(failed);
    this.#relay.start();
    this.timers.start(this.unitOfWork);
    this.effects.start(this.unitOfWork);
    this.#replayer.release();
    this.consumer.start();
    this.#topicCheck.start();
    this.#schedulePruning(PRUNE_EVERY_MS);
  }

  /** Nothing is stored, read or sent any more. */
  async #refuse(text: string): Promise<void> {
    this.unitOfWork.refuse(new NotOwner(text));
    this.#cancelPruning();
    this.#topicCheck.stop();
    await Promise.all([
      this.consumer.stop(),
      this.#relay.stop(),
      this.#replayer.stop(),
      this.timers.stop(),
      this.effects.stop(),
    ]);
  }

  /** Tells an observer, in place of an earlier one, what the kit does from now on. */
  observe(observer: Observer): void {
    this.#observed.observer = observer;
  }

  /** Whether this database is new, and has not been brought to the ends of the topics that it reads yet. */
  isCatchingUp(): boolean {
    return this.#isNew && !this.consumer.hasCaughtUp();
  }

  /**
   * Whether the broker has acknowledged what was emitted so far, so that it outlives this disk. Waits for that for a time,
   * but not while the broker is known to be away, or to refuse something. What was emitted last counts: with one send in
   * flight it is the last to be acknowledged.
   *
   * @param limitMs in milliseconds
   */
  async whenAcknowledged(limitMs: number): Promise<boolean> {
    if (this.refused()) return false;
    return this.#relay.whenAcknowledged(this.outbox.last(), limitMs);
  }

  /** What of the topics' real configuration is not what the promises need, as it was found last. */
  topicFindings(): readonly TopicFinding[] {
    return this.#topicCheck.findings();
  }

  /** Topics that do not exist or may not be written: their messages wait in the outbox, until they are parked. */
  refusedTopics(): string[] {
    return this.#relay.refusedTopics();
  }

  /** The same topics, with the reasons. */
  refusals(): readonly TopicRefusal[] {
    return this.#relay.refusals();
  }

  /** Why messages cannot be sent or read at the moment, in words. */
  failures(): { readonly sending: string | undefined; readonly reading: string | undefined } {
    const owner = this.#ownership?.failures();
    return {
      sending: this.#relay.failure() ?? owner?.sending,
      reading: this.consumer.failure() ?? owner?.reading,
    };
  }

  /** Why nothing can be stored; undefined when something can be. Asked now and then, it tries a small write. */
  storageFault(): string | undefined {
    return this.unitOfWork.storage.fault();
  }

  /** Steps of the kit's schema that a newer version has added to the database. */
  newerSteps(): string[] {
    return newerSteps(this.#options.database, "messaging", kitMigrations);
  }

  /** Whether the broker refuses messages of this service: a topic, or messages that are parked because of it. */
  refused(): boolean {
    return this.refusedTopics().length > 0 || this.parked.count() > 0;
  }

  /** Whether messages can be sent and read. */
  healthy(): boolean {
    return this.#relay.healthy() && this.consumer.healthy() && (this.#ownership?.healthy() ?? true);
  }

  /**
   * Ends everything: finishes what is being handled and commits what is queued. What has not been sent stays in the
   * outbox. The database stays open; whoever opened it closes it afterwards. Of a replicated service another instance leads
   * then.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#cancelPruning();
    this.#topicCheck.stop();
    // Otherwise what is being handled could wait for a broker that is away.
    void this.#options.database.replication?.drain();
    await this.consumer.stop();
    await this.#replayer.stop();
    await this.timers.stop();
    await this.effects.stop();
    await this.#relay.stop();
    await this.#ownership?.stop();
    // Last: what was queued before is committed in the same group, or in an earlier one.
    const stopped = this.unitOfWork.run(() => this.#crashGuard.setRunning(false));
    this.unitOfWork.close();
    await stopped.catch((error: unknown) => {
      if (!(error instanceof NotOwner)) this.#options.log.warn({ err: error }, "the stop was not recorded");
    });
    // Nothing is stored any more. To leave the group may take seconds, for which no other instance has to wait.
    await this.#options.database.replication?.release();
    await this.consumer.left();
    this.#ownership?.close();
    const { outbox, parked, outboxAdmin, timers, effects, deadLetters, deadLetterAdmin } = this;
    const parts = [
      outbox,
      parked,
      outboxAdmin,
      timers,
      effects,
      this.effectAdmin,
      deadLetters,
      deadLetterAdmin,
      this.#inbox,
      this.#horizon,
      this.#offsets,
      this.partitionStops,
      this.#partitionCounts,
      this.#crashGuard,
    ];
    for (const part of parts) part.close();
    if (this.#started) inUse.delete(this.#options.database);
  }

  /** Where the horizon of the inbox may be: nothing that has not been handled is before it. */
  #horizonAt(now: number): number | undefined {
    const { inboxRetentionMs = INBOX_RETENTION_MS } = this.#options;
    const readUpTo = this.consumer.readUpTo(now);
    if (readUpTo === undefined) return undefined;
    // Copies of a message that are blocked together are released one by one: the claim of the first has to be there.
    return Math.min(
      readUpTo - inboxRetentionMs,
      this.deadLetters.firstBlockedAt() ?? Number.POSITIVE_INFINITY,
    );
  }

  #schedulePruning(delayMs: number): void {
    const { runtime, log } = this.#options;
    if (this.#stopped !== undefined) return;
    this.#cancelPruning = runtime.after(delayMs, () => {
      this.unitOfWork
        .run((transaction) => {
          const dropped = this.deadLetters.prune();
          if (dropped > 0) {
            transaction.afterCommit(() => {
              this.deadLetters.dropped += dropped;
              log.warn(
                { dropped },
                "the oldest dead letters that block nothing were deleted: there were too many",
              );
            });
          }
          return this.#inbox.prune(this.#horizonAt(transaction.now));
        })
        .then(
          (hasMore) => this.#schedulePruning(hasMore ? 0 : PRUNE_EVERY_MS),
          (error: unknown) => {
            if (!isLogged(error)) log.warn({ err: error }, "pruning failed, it is tried again later");
            this.#schedulePruning(PRUNE_EVERY_MS);
          },
        );
    });
  }
}
