import { errorText } from "../../errors.ts";
import { type Backoff, backoffMs, Pause } from "../../runtime.ts";
import type { FollowOptions, Subscription } from "../transport.ts";
import { type KafkaContext, toRecord } from "./consumer.ts";
import { errorOfCode } from "./errors.ts";
import { decodeBatches } from "./fetch.ts";
import { EARLIEST, endOfValid, NONE, OFFSET_OUT_OF_RANGE, RawLogs } from "./raw-logs.ts";
import { createMissingTopics } from "./topics.ts";

/** A broker answers a fetch as soon as there is a record, or after so long. */
const WAIT_MS = 1_000;
const UNHEALTHY_MS = 3 * WAIT_MS;
const BACKOFF: Backoff = { firstMs: 100, mostMs: 2_000 };

/** Reads the one partition of a topic to its end and further, in no group; over a new connection after each failure. */
export class KafkaFollower implements Subscription {
  readonly #context: KafkaContext;
  readonly #options: FollowOptions;
  readonly #ended: Promise<void>;
  readonly #pause: Pause;
  #logs: RawLogs | undefined;
  /** The offset to deliver next. */
  #next: number;
  #isAtEnd = false;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #failure: string | undefined;
  #stopped = false;

  constructor(context: KafkaContext, options: FollowOptions) {
    this.#context = context;
    this.#options = options;
    this.#pause = new Pause(context.runtime);
    this.#next = options.from ?? 0;
    this.#ended = this.#keepReading();
  }

  healthy(): boolean {
    return !this.#stopped && this.#context.runtime.monotonic() - this.#answeredMs < UNHEALTHY_MS;
  }

  failure(): string | undefined {
    return this.#failure;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#logs?.destroy();
    this.#pause.end();
    await this.#ended;
  }

  async #keepReading(): Promise<void> {
    const { settings, log, runtime } = this.#context;
    while (!this.#stopped) {
      const logs = new RawLogs(settings, log);
      this.#logs = logs;
      this.#isAtEnd = false;
      try {
        await this.#read(logs);
      } catch (error) {
        this.#failures += 1;
        const text = `the broker at ${settings.brokers.join(", ")}: ${errorText(error)}`;
        this.#failure = text;
        if (!this.#stopped) this.#options.failed?.(new Error(text, { cause: error }));
      } finally {
        logs.destroy();
      }
      await this.#pause.wait(backoffMs(BACKOFF, this.#failures, () => runtime.random()));
    }
  }

  async #read(logs: RawLogs): Promise<void> {
    const { settings, topics, log, runtime } = this.#context;
    const { topic, deliver, caughtUp } = this.#options;
    await createMissingTopics(
      logs.kafka,
      topics.filter(({ name }) => name === topic),
      settings.topics,
      log,
    );
    await logs.connect([topic]);
    while (!this.#stopped) {
      const { code, latest, records } = await logs.fetch(topic, 0, this.#next, this.#isAtEnd ? WAIT_MS : 0);
      if (code === OFFSET_OUT_OF_RANGE) {
        // Retention has moved the beginning, or the log is another one.
        this.#next = await this.#earliest(logs);
        continue;
      }
      if (code !== NONE) throw errorOfCode(code);
      for (const message of decodeBatches(records, 0)) {
        if (message.undecodable !== undefined) throw new Error(message.undecodable.cause);
        const { offset, isControlRecord } = message;
        if (Number(offset) < this.#next || isControlRecord) continue;
        deliver(toRecord(topic, 0, message));
        this.#next = Number(offset) + 1;
      }
      // Compaction may have removed the last records of a batch.
      if (records.length > 0) this.#next = Math.max(this.#next, endOfValid(records, this.#next) ?? 0);
      this.#answeredMs = runtime.monotonic();
      this.#failures = 0;
      this.#failure = undefined;
      this.#isAtEnd = this.#next >= latest;
      if (this.#isAtEnd) caughtUp(this.#next);
    }
  }

  async #earliest(logs: RawLogs): Promise<number> {
    const { code, offset } = await logs.lookUp(this.#options.topic, 0, EARLIEST);
    if (code !== NONE) throw errorOfCode(code);
    if (offset === this.#next) throw new Error(`the log has nothing at offset ${offset}`);
    return offset;
  }
}
