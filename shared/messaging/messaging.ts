import type { MessageDefinition } from "./contract/define.ts";
import { migrate, type ServiceDatabase } from "./database.ts";
import { DeadLetterAdmin } from "./dead-letters/admin.ts";
import { BlockedMessageReplayer } from "./dead-letters/release.ts";
import { DeadLetterStore } from "./dead-letters/store.ts";
import { Consumer } from "./inbox/consumer.ts";
import { CrashGuard } from "./inbox/crash-guard.ts";
import type { Handler } from "./inbox/handlers.ts";
import { Inbox } from "./inbox/inbox.ts";
import { Offsets } from "./inbox/offsets.ts";
import { Processor } from "./inbox/processor.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./inbox/retry.ts";
import { Outbox } from "./outbox/outbox.ts";
import { Relay } from "./outbox/relay.ts";
import type { Logger, Runtime } from "./runtime.ts";
import { kitMigrations } from "./schema.ts";
import { TimerStore } from "./timers/timer-store.ts";
import { type TimerHandler, Timers } from "./timers/timers.ts";
import type { Publisher, Subscriber } from "./transport/transport.ts";
import { UnitOfWork } from "./unit-of-work.ts";

export interface MessagingOptions {
  /** The service: the source of its messages and the name of its consumer group. */
  readonly service: string;
  readonly database: ServiceDatabase;
  readonly transport: Publisher & Subscriber;
  /** Every kind of message there is. */
  readonly definitions: readonly MessageDefinition[];
  /** What this service does with those that it takes. */
  readonly handlers: readonly Handler[];
  /** What it does when its deadlines come. */
  readonly timers?: readonly TimerHandler[];
  /** Where copies of dead letters go, for people who look at topics. */
  readonly deadLetterTopic: string;
  readonly runtime: Runtime;
  readonly log: Logger;
  readonly inboxRetentionMs?: number;
  readonly retry?: RetryPolicy;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const PRUNE_EVERY_MS = 60_000;

/**
 * Everything that a service needs to take part: one writer, an inbox, an outbox and its relay, a consumer, dead
 * letters, deadlines. The service adds handlers, and writes through `unitOfWork`.
 */
export class Messaging {
  readonly unitOfWork: UnitOfWork;
  readonly outbox: Outbox;
  readonly deadLetters: DeadLetterStore;
  readonly deadLetterAdmin: DeadLetterAdmin;
  readonly timerStore: TimerStore;
  readonly consumer: Consumer;
  readonly #relay: Relay;
  readonly #timers: Timers;
  readonly #releaser: BlockedMessageReplayer;
  readonly #inbox: Inbox;
  readonly #offsets: Offsets;
  readonly #attempts: CrashGuard;
  readonly #options: MessagingOptions;
  #cancelPruning: () => void = () => {};
  #stopped: Promise<void> | undefined;

  /** @throws MigrationMismatch when the database was made by another version */
  constructor(options: MessagingOptions) {
    const { database, service, transport, runtime, log, retry = defaultRetryPolicy } = options;
    migrate(database, "messaging", kitMigrations);
    this.#options = options;
    this.#inbox = new Inbox(database);
    this.#offsets = new Offsets(database);
    this.#attempts = new CrashGuard(database);
    this.outbox = new Outbox(database);
    this.timerStore = new TimerStore(database);
    this.deadLetters = new DeadLetterStore(database, options.deadLetterTopic);
    const unitOfWork = new UnitOfWork({
      database,
      outbox: this.outbox,
      timers: this.timerStore,
      source: service,
      runtime,
    });
    this.unitOfWork = unitOfWork;
    const processor = new Processor({
      consumer: service,
      inbox: this.#inbox,
      definitions: options.definitions,
      handlers: options.handlers,
    });
    this.#relay = new Relay({ outbox: this.outbox, unitOfWork, publisher: transport, runtime, log });
    this.#timers = new Timers({
      store: this.timerStore,
      unitOfWork,
      handlers: options.timers ?? [],
      runtime,
      log,
    });
    const letters = this.deadLetters;
    this.#releaser = new BlockedMessageReplayer({
      letters,
      processor,
      unitOfWork,
      retry,
      runtime,
      log,
      afterCrash: this.#attempts.afterCrash,
    });
    this.deadLetterAdmin = new DeadLetterAdmin({
      database,
      letters,
      processor,
      unitOfWork,
      releaser: this.#releaser,
      runtime,
    });
    this.consumer = new Consumer({
      name: service,
      processor,
      subscriber: transport,
      unitOfWork,
      offsets: this.#offsets,
      deadLetters: letters,
      attempts: this.#attempts,
      runtime,
      log,
      retry,
    });
  }

  /** Sends what waits, carries out what came due, and begins to consume. Returns at once: the broker may be away. */
  start(): void {
    const { log } = this.#options;
    const failed = (error: unknown) => log.warn({ err: error }, "the start was not written down");
    this.unitOfWork.run(() => this.#attempts.setRunning(true)).catch(failed);
    this.#relay.start();
    this.#timers.start();
    this.#releaser.wake();
    this.consumer.start();
    this.#schedulePruning(PRUNE_EVERY_MS);
  }

  /** Whether messages flow, both ways. */
  healthy(): boolean {
    return this.#relay.healthy() && this.consumer.healthy();
  }

  /**
   * Takes nothing new, finishes what is under way, writes what is queued. What has not been sent stays in the
   * outbox. The database itself is left open: whoever opened it closes it, afterwards.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#cancelPruning();
    await this.consumer.stop();
    await this.#releaser.stop();
    await this.#timers.stop();
    await this.#relay.stop();
    // Last: what is queued before it is written in the same group, or before.
    const stopped = this.unitOfWork.run(() => this.#attempts.setRunning(false));
    this.unitOfWork.close();
    await stopped.catch((error: unknown) =>
      this.#options.log.warn({ err: error }, "the stop was not written down"),
    );
    const { outbox, timerStore, deadLetters, deadLetterAdmin } = this;
    for (const part of [
      outbox,
      timerStore,
      deadLetters,
      deadLetterAdmin,
      this.#inbox,
      this.#offsets,
      this.#attempts,
    ]) {
      part.close();
    }
  }

  #schedulePruning(delayMs: number): void {
    const { runtime, log, inboxRetentionMs = 7 * DAY_MS } = this.#options;
    this.#cancelPruning = runtime.after(delayMs, () => {
      this.unitOfWork
        .run((transaction) => {
          this.deadLetters.prune();
          return this.#inbox.prune(transaction.now - inboxRetentionMs);
        })
        .then(
          ({ more }) => this.#schedulePruning(more ? 0 : PRUNE_EVERY_MS),
          (error: unknown) => {
            log.warn({ err: error }, "nothing was pruned");
            this.#schedulePruning(PRUNE_EVERY_MS);
          },
        );
    });
  }
}
