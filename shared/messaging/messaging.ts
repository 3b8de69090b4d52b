import type { MessageDefinition } from "@distributed-messaging/contracts";
import { Consumer, type RetryPolicy } from "./consumer.ts";
import { migrate, type ServiceDatabase } from "./database.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { Handler } from "./handlers.ts";
import { Inbox } from "./inbox.ts";
import { Offsets } from "./offsets.ts";
import { Outbox } from "./outbox.ts";
import { Relay } from "./relay.ts";
import type { Log, Runtime } from "./runtime.ts";
import { kitMigrations } from "./schema.ts";
import type { Transaction } from "./transaction.ts";
import type { Publisher, Subscriber } from "./transport.ts";
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
  readonly runtime: Runtime;
  readonly log: Log;
  readonly inboxRetentionMs?: number;
  readonly retry?: RetryPolicy;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const PRUNE_EVERY_MS = 60_000;

/**
 * Everything that a service needs to take part: one writer, an inbox, an outbox and its relay, a consumer, dead
 * letters. The service adds handlers, and writes through `unitOfWork`.
 */
export class Messaging {
  readonly unitOfWork: UnitOfWork;
  readonly outbox: Outbox;
  readonly deadLetters: DeadLetters;
  readonly consumer: Consumer;
  readonly relay: Relay;
  readonly #inbox: Inbox;
  readonly #offsets: Offsets;
  readonly #options: MessagingOptions;
  #cancelPruning: () => void = () => {};

  /** @throws MigrationMismatch when the database was made by another version */
  constructor(options: MessagingOptions) {
    const { database, service, transport, runtime, log } = options;
    migrate(database, "messaging", kitMigrations);
    this.#options = options;
    this.#inbox = new Inbox(database);
    this.#offsets = new Offsets(database);
    this.outbox = new Outbox(database);
    this.deadLetters = new DeadLetters(database);
    this.unitOfWork = new UnitOfWork({ database, outbox: this.outbox, source: service, runtime });
    this.relay = new Relay({
      outbox: this.outbox,
      unitOfWork: this.unitOfWork,
      publisher: transport,
      runtime,
      log,
    });
    this.consumer = new Consumer({
      name: service,
      handlers: options.handlers,
      definitions: options.definitions,
      subscriber: transport,
      unitOfWork: this.unitOfWork,
      inbox: this.#inbox,
      offsets: this.#offsets,
      deadLetters: this.deadLetters,
      runtime,
      log,
      ...(options.retry === undefined ? {} : { retry: options.retry }),
    });
  }

  /** Sends what waits, and begins to consume. Returns at once: the broker may be away. */
  start(): void {
    this.relay.start();
    this.consumer.start();
    this.#schedulePruning(PRUNE_EVERY_MS);
  }

  /** Whether messages flow, both ways. */
  healthy(): boolean {
    return this.relay.healthy() && this.consumer.healthy();
  }

  /**
   * Takes nothing new, finishes what is under way, writes what is queued. What has not been sent stays in the
   * outbox. The database itself is left open: whoever opened it closes it, afterwards.
   */
  async stop(): Promise<void> {
    this.#cancelPruning();
    await this.consumer.stop();
    await this.relay.stop();
    this.unitOfWork.close();
    for (const part of [this.outbox, this.#inbox, this.#offsets, this.deadLetters]) part.close();
  }

  #schedulePruning(delayMs: number): void {
    const { runtime, log, inboxRetentionMs = 7 * DAY_MS } = this.#options;
    const prune = (transaction: Transaction) => this.#inbox.prune(transaction.now - inboxRetentionMs);
    this.#cancelPruning = runtime.after(delayMs, () => {
      this.unitOfWork.run(prune).then(
        ({ more }) => this.#schedulePruning(more ? 0 : PRUNE_EVERY_MS),
        (error: unknown) => {
          log.warn({ err: error }, "the inbox was not pruned");
          this.#schedulePruning(PRUNE_EVERY_MS);
        },
      );
    });
  }
}
