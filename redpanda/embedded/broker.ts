/**
 * A one-node broker for the Kafka protocol, for development and tests: no replication, no transactions, no TLS. An
 * acknowledged record is on disk. UNSUPPORTED.md lists what is left out.
 *
 *   const broker = await startBroker({ dataDir, port: 0 });
 *   … clients connect to `${broker.host}:${broker.port}` …
 *   await broker.stop();
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Cleaner } from "./cleaner.ts";
import { Control } from "./control.ts";
import { type DispatchContext, dispatch } from "./dispatch.ts";
import { Offsets } from "./groups/offsets.ts";
import { GroupCoordinator } from "./groups.ts";
import { createLogger, type Logger, messageOf } from "./logger.ts";
import { ProducerIds } from "./producer-ids.ts";
import type { Limits } from "./server/connection.ts";
import { MemoryBudget } from "./server/memory-budget.ts";
import { listen, type Server } from "./server.ts";
import { CleanStop } from "./storage/clean-stop.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { lockDirectory } from "./storage/lock.ts";
import { Topics } from "./topics.ts";

export interface BrokerOptions {
  /** Created if missing; used by one broker at a time. */
  readonly dataDir: string;
  /** The address to listen on, which clients are given too. `localhost` is both 127.0.0.1 and ::1. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port?: number;
  readonly logger?: Logger;
  /** Whether a Metadata request that allows it creates missing topics. */
  readonly autoCreateTopics?: boolean;
  readonly defaultPartitions?: number;
  /** The partitions of all topics together. Each segment of a partition keeps a file open. */
  readonly maxPartitions?: number;
  /** False stores batches without a look at their records, to test what a consumer does with damaged ones. */
  readonly validateRecords?: boolean;
  /** The largest request; a longer one closes the connection. */
  readonly maxFrameBytes?: number;
  /** The limit of records in a fetch response; a single larger batch is returned all the same. */
  readonly maxFetchBytes?: number;
  readonly maxConnections?: number;
  /** Memory for the requests of all connections together. What exceeds it is read later. */
  readonly maxReceivedBytes?: number;
  /** Memory for the fetch responses of all connections together. What exceeds it is answered later. */
  readonly maxResponseBytes?: number;
  /** When a connection without requests ends, as connections.max.idle.ms of Apache Kafka. */
  readonly maxIdleMs?: number;
  /** When a connection ends whose client does not complete a request. */
  readonly frameTimeoutMs?: number;
  /** When a connection without progress ends that holds memory which others wait for. */
  readonly stallTimeoutMs?: number;
  readonly minSessionTimeoutMs?: number;
  readonly maxSessionTimeoutMs?: number;
  /** How long the first rebalance of a group waits for more members. */
  readonly initialRebalanceDelayMs?: number;
  /** The pause between two runs of retention and compaction. */
  readonly cleanIntervalMs?: number;
}

const defaults = {
  host: "localhost",
  port: 9092,
  autoCreateTopics: false,
  defaultPartitions: 1,
  maxPartitions: 4_000,
  validateRecords: true,
  maxFrameBytes: 32 * 1024 * 1024,
  maxFetchBytes: 16 * 1024 * 1024,
  maxConnections: 10_000,
  maxReceivedBytes: 128 * 1024 * 1024,
  maxResponseBytes: 64 * 1024 * 1024,
  maxIdleMs: 10 * 60_000,
  frameTimeoutMs: 60_000,
  stallTimeoutMs: 10_000,
  minSessionTimeoutMs: 6_000,
  maxSessionTimeoutMs: 30 * 60_000,
  initialRebalanceDelayMs: 50,
  cleanIntervalMs: 30_000,
};

/** How long a stop waits for requests in flight before it closes their connections. */
const STOP_GRACE_MS = 3_000;

/** A running broker. `control`, `disk` and `cleaner` are for tests: faults by API, faults of the disk, cleaning on demand. */
export class Broker implements DispatchContext {
  readonly nodeId = 1;
  readonly control = new Control();
  /** What the connections share, see `Limits`. */
  readonly memory: Pick<Limits, "received" | "unread" | "responses">;
  #server: Server | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    readonly options: Required<BrokerOptions>,
    readonly clusterId: string,
    readonly disk: Disk,
    readonly topics: Topics,
    readonly groups: GroupCoordinator,
    readonly producerIds: ProducerIds,
    readonly cleaner: Cleaner,
    private readonly release: () => Promise<void>,
  ) {
    const { maxReceivedBytes, maxResponseBytes } = options;
    this.memory = {
      received: new MemoryBudget(maxReceivedBytes),
      unread: new MemoryBudget(maxReceivedBytes),
      responses: new MemoryBudget(maxResponseBytes),
    };
  }

  /** The host that clients are given. */
  get host(): string {
    return isWildcard(this.options.host) ? "localhost" : this.options.host;
  }

  /** The port in use, also when 0 was requested. */
  get port(): number {
    return this.#server?.port ?? this.options.port;
  }

  get logger(): Logger {
    return this.options.logger;
  }

  /** @throws Error when the address cannot be listened on. */
  start(): void {
    const { maxConnections, logger } = this.options;
    this.#server = listen({
      ...this.options,
      ...this.memory,
      onTooMany: () =>
        logger.warn("connections are refused", { reason: `${maxConnections} are open (maxConnections)` }),
      handle: (frame, peer) => dispatch(frame, this, peer),
      onError: (error, { host: client }) =>
        logger.warn("connection closed", { client, reason: messageOf(error) }),
    });
    this.cleaner.start();
  }

  /** Answers requests in flight, syncs and closes. A second call returns the same promise. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.cleaner.stop();
    this.groups.close();
    await this.#server?.stop(STOP_GRACE_MS);
    await this.release();
  }
}

/** A wildcard address can be listened on but not connected to. */
function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** Resolves when clients can connect. @throws Error when the directory or the port cannot be used. */
export async function startBroker(given: BrokerOptions): Promise<Broker> {
  const options = { ...defaults, logger: createLogger("silent"), ...given };
  const disk = new Disk();
  const lock = await lockDirectory(disk, options.dataDir).catch((error: unknown) => {
    throw new Error(`the data directory cannot be used: ${messageOf(error)}`);
  });
  const cleanStop = new CleanStop(disk, options.dataDir);
  let needsRecovery: (() => boolean) | undefined;
  const recordStop = async () => {
    if (!needsRecovery || needsRecovery()) return;
    // Without the record the next start takes this stop for an unclean one, which is safe.
    await cleanStop.record().catch((error: unknown) => {
      options.logger.warn("the clean stop cannot be recorded", { error: messageOf(error) });
    });
  };
  const closers: (() => Promise<void> | void)[] = [() => lock.release(), recordStop];
  const release = async () => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const { logger } = options;
    const wasClean = await cleanStop.isRecorded();
    const path = join(options.dataDir, "state.journal");
    const journal = await Journal.open(disk, path, { cleanStop: wasClean, logger });
    closers.push(() => journal.close());
    const topics = new Topics(options.dataDir, disk, journal, logger, options.maxPartitions);
    closers.push(() => topics.close());
    await topics.load(wasClean);
    await cleanStop.erase();
    // From here on a stop is clean, also when the port cannot be used.
    needsRecovery = () => journal.tailIsTorn || topics.needRecovery;
    const broker = new Broker(
      options,
      await clusterIdIn(journal),
      disk,
      topics,
      new GroupCoordinator(new Offsets(journal), options),
      new ProducerIds(journal),
      new Cleaner(topics, options.cleanIntervalMs, options.logger),
      release,
    );
    broker.start();
    return broker;
  } catch (error) {
    await release();
    throw error;
  }
}

/** Created once per data directory: 16 random bytes in the encoding of Apache Kafka. */
async function clusterIdIn(journal: Journal): Promise<string> {
  const known = journal.get("cluster-id");
  if (typeof known === "string") return known;
  const id = randomBytes(16).toString("base64url");
  await journal.write([["cluster-id", id]]);
  return id;
}
