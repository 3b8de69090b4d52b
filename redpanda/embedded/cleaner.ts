/** Runs retention and compaction periodically, one log after the other. */

import { compact } from "./log/compaction.ts";
import { applyRetention } from "./log/retention.ts";
import type { PartitionLog } from "./log.ts";
import { FailureLog, type Logger, messageOf } from "./logger.ts";
import type { Topics } from "./topics.ts";

export class Cleaner {
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** By log; one that is deleted is forgotten with it. */
  readonly #failures = new WeakMap<PartitionLog, FailureLog>();

  constructor(
    private readonly topics: Topics,
    private readonly intervalMs: number,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.#timer = setTimeout(async () => {
      await this.run();
      if (!this.#stopped) this.start();
    }, this.intervalMs);
  }

  /** Runs one pass, or joins the pass in progress. */
  run(): Promise<void> {
    this.#running ??= this.#cleanAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Starts no further log. The log in progress stops when it is closed. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #cleanAll(): Promise<void> {
    for (const topic of this.topics.all()) {
      for (const log of topic.partitions) if (!this.#stopped) await this.#clean(log);
    }
  }

  /** A failure delays the release of disk space and nothing else; the next pass tries again. */
  async #clean(log: PartitionLog): Promise<void> {
    try {
      await log.maintain(async () => {
        log.producers.expire();
        await applyRetention(log);
        log.producers.transactions.truncate(log.startOffset);
        if (log.options.config.compact) await compact(log);
      });
      this.#failures.get(log)?.over("cleaning succeeds again", { log: log.options.directory });
    } catch (error) {
      if (!log.isClosed) {
        const failures = this.#failures.get(log) ?? new FailureLog(this.logger);
        this.#failures.set(log, failures);
        failures.failed("warn", "cleaning failed", { log: log.options.directory, error: messageOf(error) });
      }
    }
  }
}
