/** Runs retention and compaction from time to time. */
import type { Logger } from "./logger.ts";
import type { Topics } from "./topics.ts";

export class Cleaner {
  constructor(
    readonly topics: Topics,
    readonly intervalMs: number,
    readonly logger: Logger,
  ) {}

  stop(): void {}
}
