import { type Backoff, backoffMs } from "../../runtime.ts";
import type { SubscribeOptions, Subscription } from "../transport.ts";
import { KafkaConsumer } from "./consumer.ts";
import type { KafkaContext } from "./consumer-settings.ts";

/** Fetches end many times a second. Without one for so long, nothing flows: not ready any more. */
const QUIET_MS = 3_000;
const REBUILD_BACKOFF: Backoff = { firstMs: 100, mostMs: 2_000 };

/**
 * A consumer that is thrown away and built anew whenever it stops working: kafkajs gives up for good on errors
 * that it takes for final, and can stop fetching without a word.
 */
export class KafkaSubscription implements Subscription {
  readonly #context: KafkaContext;
  readonly #options: SubscribeOptions;
  readonly #ended: Promise<void>;
  #consumer: KafkaConsumer | undefined;
  #stopped = false;
  #wakeUp: () => void = () => {};

  constructor(context: KafkaContext, options: SubscribeOptions) {
    this.#context = context;
    this.#options = options;
    this.#ended = this.#keepConsuming();
  }

  healthy(): boolean {
    return !this.#stopped && this.#consumer !== undefined && this.#consumer.quietMs() < QUIET_MS;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wakeUp();
    this.#consumer?.fail(new Error("stopped"));
    await this.#ended;
  }

  async #keepConsuming(): Promise<void> {
    const { log, runtime } = this.#context;
    let failures = 0;
    while (!this.#stopped) {
      const consumer = new KafkaConsumer(this.#context, this.#options, {
        onFlow: () => {
          if (failures > 0) log.info({ group: this.#options.group }, "consuming again");
          failures = 0;
        },
      });
      this.#consumer = consumer;
      try {
        await consumer.run();
      } catch (error) {
        failures += 1;
        if (!this.#stopped) this.#complain(error, failures);
      } finally {
        this.#consumer = undefined;
        await consumer.end();
      }
      await this.#sleep(backoffMs(REBUILD_BACKOFF, failures, () => runtime.random()));
    }
  }

  /** Ever more seldom: a broker may be away for hours. */
  #complain(error: unknown, failures: number): void {
    const fields = { err: error, group: this.#options.group, failures };
    const isPowerOfTwo = (failures & (failures - 1)) === 0;
    if (isPowerOfTwo) this.#context.log.warn(fields, "not consuming, starting over");
    else this.#context.log.debug(fields, "still not consuming, starting over");
  }

  #sleep(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#context.runtime.after(delayMs, resolve);
      this.#wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }
}
