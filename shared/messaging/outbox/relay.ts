import { errorText } from "../errors.ts";
import { type Backoff, backoffMs, type Logger, type Runtime } from "../runtime.ts";
import type { Publisher } from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { Outbox, OutboxRow } from "./outbox.ts";

/** Records in one send. A send costs much the same with one record as with many. */
const BATCH = 500;
/** Below the megabyte that brokers take in one batch of a partition, should all records be of the same one. */
const BATCH_BYTES = 768 * 1024;
/** How often to look for records without having been woken. A backstop: it should never find any. */
const BACKSTOP_MS = 1_000;
/** How long a stop waits for the send in flight. Without an answer the next process sends its records again. */
const STOP_MS = 2_000;
const BACKOFF: Backoff = { firstMs: 50, mostMs: 5_000 };

/**
 * Sends the outbox to the broker: in order, with one send in flight. That keeps the order of a key without an
 * idempotent producer: of two sends in flight the second could be stored first, and after a lost answer a broker
 * that counts sequence numbers can drop a record that it never stored.
 *
 * A send that fails is repeated until it succeeds, so a record may be stored more than once; the inboxes of the
 * readers remove the duplicates. A record is deleted only after the broker has acknowledged it.
 */
export class Relay {
  readonly #outbox: Outbox;
  readonly #unitOfWork: UnitOfWork;
  readonly #publisher: Publisher;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  /** The last record that the broker has acknowledged; it may not have been deleted yet. */
  #acknowledged = 0;
  /** The last record whose deletion has been queued. */
  #deleted = 0;
  #failures = 0;
  #backingOff = false;
  /** Something was emitted while the relay was sending. */
  #woken = false;
  #running: Promise<void> | undefined;
  #stopped = true;
  #cancelTimer: (() => void) | undefined;

  constructor(options: {
    outbox: Outbox;
    unitOfWork: UnitOfWork;
    publisher: Publisher;
    runtime: Runtime;
    log: Logger;
  }) {
    this.#outbox = options.outbox;
    this.#unitOfWork = options.unitOfWork;
    this.#publisher = options.publisher;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#unitOfWork.onEmit(() => this.wake());
  }

  /** Begins with what an earlier process left. */
  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Looks for records to send, unless it is sending or backing off after a failure. */
  wake(): void {
    if (this.#stopped || this.#backingOff) return;
    this.#woken = this.#running !== undefined;
    if (this.#woken) return;
    this.#cancelTimer?.();
    this.#running = this.#drain().finally(() => {
      this.#running = undefined;
      this.#sleep();
    });
  }

  /**
   * Resolves when the send in flight has ended, or after STOP_MS: a broker may hang. What is left stays in the outbox
   * for the next process.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    const late = Promise.withResolvers<void>();
    const cancel = this.#runtime.after(STOP_MS, late.resolve);
    await Promise.race([this.#running, late.promise]);
    cancel();
  }

  /** Whether the last send succeeded. */
  healthy(): boolean {
    return this.#failures === 0;
  }

  async #drain(): Promise<void> {
    while (!this.#stopped) {
      let last: OutboxRow | undefined;
      try {
        const rows = this.#outbox.after(this.#acknowledged, BATCH, BATCH_BYTES);
        last = rows.at(-1);
        if (last !== undefined) await this.#publisher.publish(rows);
      } catch (error) {
        this.#woken = false;
        this.#failures += 1;
        this.#reportFailure(error);
        return;
      }
      if (this.#failures > 0) this.#log.info({ failures: this.#failures }, "sending works again");
      this.#failures = 0;
      if (last !== undefined) this.#acknowledged = last.seq;
      this.#delete();
      if (last === undefined) return;
    }
  }

  /** Not awaited: the deletion commits with the next group. One that fails is repeated with the next one. */
  #delete(): void {
    const seq = this.#acknowledged;
    if (this.#deleted === seq) return;
    this.#deleted = seq;
    this.#unitOfWork
      .run(() => this.#outbox.acknowledge(seq))
      .catch((error: unknown) => {
        if (this.#deleted === seq) this.#deleted = 0;
        this.#log.warn(
          { err: error },
          "sent messages could not be deleted from the outbox, it is tried again",
        );
      });
  }

  /** Logs the first failure only as a warning: the broker may be away for a day. */
  #reportFailure(error: unknown): void {
    const fields = { error: errorText(error), failures: this.#failures };
    if (this.#failures === 1) this.#log.warn(fields, "messages cannot be sent, they wait in the outbox");
    else this.#log.debug(fields, "messages still cannot be sent");
  }

  #sleep(): void {
    if (this.#stopped) return;
    if (this.#woken) {
      this.wake();
      return;
    }
    this.#backingOff = this.#failures > 0;
    const delayMs = this.#backingOff
      ? backoffMs(BACKOFF, this.#failures, () => this.#runtime.random())
      : BACKSTOP_MS;
    this.#cancelTimer = this.#runtime.after(delayMs, () => {
      this.#backingOff = false;
      this.wake();
    });
  }
}
