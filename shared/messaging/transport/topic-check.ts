import { isCompacted, type Topic } from "../contract/define.ts";
import { MAX_MESSAGE_BYTES } from "../contract/envelope.ts";
import { errorText } from "../errors.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { TopicDescription, Transport } from "./transport.ts";

/** What of a topic's real configuration is not what the promises of the kit need. */
export interface TopicFinding {
  readonly topic: string;
  /** `error`: messages can be lost, or cannot be sent. `warning`: only if something else fails as well. */
  readonly severity: "error" | "warning";
  readonly text: string;
}

const COMPRESSION = new Set(["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]);
/** What a batch of one message takes beside it, at most: headers, key, the header of the batch. */
const BATCH_OVERHEAD_BYTES = 4 * 1024;

/** Compares a topic with its definition. */
export function checkTopic(topic: Topic, real: TopicDescription): TopicFinding[] {
  const findings: TopicFinding[] = [];
  const find = (severity: TopicFinding["severity"], text: string) =>
    findings.push({ topic: topic.name, severity, text });
  const { partitions, replicas = 1, brokers, config } = real;
  if (partitions === undefined) find("error", "does not exist, or may not be described by this client");
  else if (partitions < topic.partitions) {
    find("error", `has ${partitions} partitions instead of ${topic.partitions}: it is not written`);
  } else if (partitions > topic.partitions) {
    find("warning", `has ${partitions} partitions instead of ${topic.partitions}: the others are read only`);
  }
  if (partitions !== undefined && brokers > 1 && replicas === 1) {
    find(
      "error",
      "has one replica in a cluster of several brokers: what is acknowledged is lost with a disk",
    );
  }
  if (config === undefined) {
    if (partitions !== undefined) find("warning", "its configuration may not be described by this client");
    return findings;
  }
  const inSync = Number(config["min.insync.replicas"] ?? 1);
  if (replicas > 1 && inSync < 2) {
    find("warning", "min.insync.replicas is 1: what is acknowledged may be on one disk only");
  }
  if (replicas > 1 && inSync >= replicas) {
    find(
      "warning",
      `min.insync.replicas is ${inSync} of ${replicas} replicas: without one of them it is not written`,
    );
  }
  const policy = config["cleanup.policy"] ?? "delete";
  if (isCompacted(topic) !== policy.split(",").includes("compact")) {
    const wanted = topic.config["cleanup.policy"] ?? "delete";
    find(
      "error",
      `cleanup.policy is ${policy} instead of ${wanted}: records are removed that are still needed`,
    );
  }
  const retention = config["retention.ms"];
  const wanted = topic.config["retention.ms"];
  const isShorter = wanted !== undefined && durationOf(retention) < durationOf(wanted);
  if (policy.split(",").includes("delete") && isShorter) {
    find("error", `retention.ms is ${retention} instead of ${wanted}: unread records are removed earlier`);
  }
  const maxBytes = Number(config["max.message.bytes"] ?? Number.POSITIVE_INFINITY);
  if (maxBytes < MAX_MESSAGE_BYTES + BATCH_OVERHEAD_BYTES) {
    find("error", `max.message.bytes is ${maxBytes}: messages may have ${MAX_MESSAGE_BYTES} bytes`);
  }
  const compression = config["compression.type"] ?? "producer";
  if (!COMPRESSION.has(compression))
    find("error", `compression.type is ${compression}, which cannot be read`);
  return findings;
}

/** Milliseconds; absent or -1: for ever. */
function durationOf(setting: string | undefined): number {
  const ms = Number(setting ?? -1);
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

const TRY_EVERY_MS = 5_000;
const CHECK_EVERY_MS = 10 * 60_000;

/**
 * Checks the topics of a transport at the start, when the broker is available again, and every ten minutes. A list of
 * findings is logged once, and again when it has changed.
 */
export class TopicCheck {
  readonly #options;
  #findings: readonly TopicFinding[] = [];
  #checkedAtMs: number | undefined;
  #wasHealthy = false;
  #stopped = false;
  #cancel: () => void = () => {};

  constructor(options: {
    readonly transport: Transport;
    readonly runtime: Runtime;
    readonly log: Logger;
    isHealthy(): boolean;
  }) {
    this.#options = options;
  }

  /** Of the last check. Empty before the first. */
  findings(): readonly TopicFinding[] {
    return this.#findings;
  }

  start(): void {
    if (this.#options.transport.describeTopics !== undefined) this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.runtime.after(delayMs, () => {
      this.#checkIfDue().finally(() => this.#schedule(TRY_EVERY_MS));
    });
  }

  async #checkIfDue(): Promise<void> {
    const { transport, runtime, log, isHealthy } = this.#options;
    const now = runtime.monotonic();
    const isHealthyNow = isHealthy();
    const isBack = isHealthyNow && !this.#wasHealthy;
    this.#wasHealthy = isHealthyNow;
    const isOld = this.#checkedAtMs === undefined || now - this.#checkedAtMs >= CHECK_EVERY_MS;
    if (!isBack && !isOld) return;
    try {
      const findings = (await transport.describeTopics?.())?.flatMap(({ topic, real }) =>
        checkTopic(topic, real),
      );
      this.#checkedAtMs = now;
      this.#report(findings ?? []);
    } catch (error) {
      log.debug({ error: errorText(error) }, "the topics could not be described, it is tried again");
    }
  }

  #report(findings: readonly TopicFinding[]): void {
    const { log } = this.#options;
    const isChanged = JSON.stringify(findings) !== JSON.stringify(this.#findings);
    this.#findings = findings;
    if (!isChanged || this.#stopped) return;
    const lines = findings.map(({ topic, severity, text }) => `${severity}: ${topic} ${text}`);
    if (findings.some(({ severity }) => severity === "error")) {
      log.error({ findings: lines }, "topics are not configured as the messages need it");
    } else if (findings.length > 0) {
      log.warn({ findings: lines }, "topics are not configured as the messages need it");
    } else log.info({}, "topics are configured as the messages need it");
  }
}
