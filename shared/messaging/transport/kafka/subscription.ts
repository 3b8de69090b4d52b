import { errorText } from "../../errors.ts";
import { type Backoff, backoffMs, Pause } from "../../runtime.ts";
import type { SubscribeOptions, Subscription } from "../transport.ts";
import { KafkaConsumer, type KafkaContext } from "./consumer.ts";

/** Fetches end many times a second. After so long without one the subscription is not healthy. */
const UNHEALTHY_MS = 3_000;
const RESTART_BACKOFF: Backoff = { firstMs: 100, mostMs: 2_000 };
/** How often the same failure is a warning: a broker may be unavailable for hours. */
const WARN_AGAIN_MS = 60_000;

/**
 * Keeps a consumer running, and replaces it when it fails: kafkajs does not recover from errors that it takes for
 * final, and may stop to fetch without an error.
 */
export class KafkaSubscription implements Subscription {
  readonly #context: KafkaContext;
  readonly #options: SubscribeOptions;
  readonly #ended: Promise<void>;
  readonly #pause: Pause;
  #consumer: KafkaConsumer | undefined;
  /** The reasons that were logged as warnings since `#warnedSince`. */
  readonly #warned = new Set<string>();
  #warnedSince = 0;
  #failure: string | undefined;
  #failingSinceMs = 0;
  #stopped = false;

  constructor(context: KafkaContext, options: SubscribeOptions) {
    this.#context = context;
    this.#options = options;
    this.#pause = new Pause(context.runtime);
    this.#ended = this.#keepConsuming();
  }

  healthy(): boolean {
    return !this.#stopped && this.#consumer !== undefined && this.#consumer.sinceFetchMs() < UNHEALTHY_MS;
  }

  failure(): string | undefined {
    return this.#failure;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.end();
    this.#consumer?.fail(new Error("stopped"));
    await this.#ended;
  }

  async #keepConsuming(): Promise<void> {
    const { log, runtime } = this.#context;
    const { group } = this.#options;
    let failures = 0;
    while (!this.#stopped) {
      const consumer = new KafkaConsumer(this.#context, this.#options, {
        onFirstFetch: () => {
          if (failures > 0) {
            const seconds = Math.round((runtime.monotonic() - this.#failingSinceMs) / 1000);
            log.info({ group, failures, seconds }, "consuming again");
          }
          failures = 0;
          this.#failure = undefined;
          this.#warned.clear();
        },
      });
      this.#consumer = consumer;
      try {
        await consumer.run();
      } catch (error) {
        failures += 1;
        if (!this.#stopped) this.#logFailure(error, failures);
      } finally {
        this.#consumer = undefined;
        await consumer.close();
      }
      await this.#pause.wait(backoffMs(RESTART_BACKOFF, failures, () => runtime.random()));
    }
  }

  /** A warning for each reason, once a minute; the stack at `debug` only. */
  #logFailure(error: unknown, failures: number): void {
    const { log, runtime, settings } = this.#context;
    const { group } = this.#options;
    const reason = errorText(error);
    log.debug({ err: error, group, failures }, "the consumer failed, it is restarted");
    const now = runtime.monotonic();
    if (failures === 1) this.#failingSinceMs = now;
    this.#failure = reason;
    if (now - this.#warnedSince >= WARN_AGAIN_MS) {
      this.#warned.clear();
      this.#warnedSince = now;
    }
    if (this.#warned.has(reason)) return;
    this.#warned.add(reason);
    const brokers = settings.brokers.join(", ");
    const next = `it is tried again every ${RESTART_BACKOFF.mostMs / 1_000} s`;
    log.warn({ group, failures }, `not consuming from the broker at ${brokers}: ${reason}; ${next}`);
  }
}
