import { type Backoff, backoffMs, type Logger, type Runtime } from "../runtime.ts";
import type { Publisher } from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { Outbox, OutboxRow } from "./outbox.ts";

/** Records that go to the broker in one send: cost is by the send, not by the record. */
const BATCH = 500;
/** Below the million bytes that brokers take in one batch of a partition, should all go to the same one. */
const BATCH_BYTES = 768 * 1024;
/** How often to look without having been woken: a backstop that should never find anything. */
const BACKSTOP_MS = 1_000;
/** How long a stop waits for the broker's answer: whatever it would have been, the records are sent again. */
const STOP_MS = 2_000;
const BACKOFF: Backoff = { firstMs: 50, mostMs: 5_000 };

/**
 * Carries the outbox to the broker: in order, one send at a time, each acknowledged before the next begins.
 * That, and not a cleverer producer, is what keeps the order of a key: two sends under way at once could be
 * stored the other way round, or one of them dropped by a broker that counts sequence numbers.
 *
 * A send that fails is sent again until it succeeds, so a record may be stored more than once; the readers'
 * inboxes see to that. Nothing leaves the outbox before the broker has acknowledged it.
 */
export class Relay {
  readonly #outbox: Outbox;
  readonly #unitOfWork: UnitOfWork;
  readonly #publisher: Publisher;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  /** The broker has everything up to here, though some of it may not have been deleted yet. */
  #acknowledged = 0;
  /** Up to here the outbox has been asked to delete it. */
  #deleted = 0;
  #failures = 0;
  #backingOff = false;
  /** Something was emitted while the relay was busy with what came before. */
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

  /** Begins with what an earlier run of the process left behind. */
  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Looks for records to send, unless it is sending or waiting after a failure. */
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
   * Resolves when the send under way, if any, has ended, or has taken too long: a broker may hang. What is left stays
   * in the outbox for the next start.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    const late = Promise.withResolvers<void>();
    const cancel = this.#runtime.after(STOP_MS, late.resolve);
    await Promise.race([this.#running, late.promise]);
    cancel();
  }

  /** Whether the last send went through. */
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
      if (this.#failures > 0) this.#log.info({ failures: this.#failures }, "messages are being sent again");
      this.#failures = 0;
      if (last !== undefined) this.#acknowledged = last.seq;
      this.#delete();
      if (last === undefined) return;
    }
  }

  /** Not awaited: it rides in the next group. Should it be lost, the next one or the backstop makes up for it. */
  #delete(): void {
    const seq = this.#acknowledged;
    if (this.#deleted === seq) return;
    this.#deleted = seq;
    this.#unitOfWork
      .run(() => this.#outbox.acknowledge(seq))
      .catch((error: unknown) => {
        if (this.#deleted === seq) this.#deleted = 0;
        this.#log.warn({ err: error }, "sent messages stay in the outbox for now");
      });
  }

  /** Said once: the broker may be away for a day, and the log is not the place to count its seconds. */
  #reportFailure(error: unknown): void {
    const fields = { error: String(error), failures: this.#failures };
    if (this.#failures === 1)
      this.#log.warn(fields, "messages cannot be sent: they wait, and are tried again");
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
