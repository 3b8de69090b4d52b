/**
 * A broker that speaks the Kafka protocol on one machine, for development and tests: one node, no replication, no
 * transactions, no TLS. What it acknowledges is on disk. UNSUPPORTED.md says what it does not do.
 *
 *   const broker = await startBroker({ dataDir, port: 0 });
 *   … clients connect to `${broker.host}:${broker.port}` …
 *   await broker.stop();
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { acquireLock, type Lock } from "@distributed-messaging/messaging/lock";
import { Cleaner } from "./cleaner.ts";
import { Control } from "./control.ts";
import { dispatch } from "./dispatch.ts";
import { Offsets } from "./groups/offsets.ts";
import { GroupCoordinator } from "./groups.ts";
import { createLogger, type Logger, messageOf } from "./logger.ts";
import { ProducerIds } from "./producer-ids.ts";
import { listen, type Server } from "./server.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { Topics } from "./topics.ts";

export interface BrokerOptions {
  /** Made if missing; used by one broker at a time. */
  readonly dataDir: string;
  /** What is listened on and told to clients. `localhost` is both 127.0.0.1 and ::1. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port?: number;
  readonly logger?: Logger;
  /** Lets clients that ask for it create a topic by naming it. */
  readonly autoCreateTopics?: boolean;
  readonly defaultPartitions?: number;
  /** The largest request; a client that sends more is cut off. */
  readonly maxFrameBytes?: number;
  /** The most records in a fetch response, except for a single larger batch. */
  readonly maxFetchBytes?: number;
  readonly minSessionTimeoutMs?: number;
  readonly maxSessionTimeoutMs?: number;
  /** How long a group's first rebalance waits for members that start at the same time. */
  readonly initialRebalanceDelayMs?: number;
  /** How often retention and compaction look for work. */
  readonly cleanIntervalMs?: number;
}

const defaults = {
  host: "localhost",
  port: 9092,
  autoCreateTopics: false,
  defaultPartitions: 1,
  maxFrameBytes: 32 * 1024 * 1024,
  maxFetchBytes: 16 * 1024 * 1024,
  minSessionTimeoutMs: 6_000,
  maxSessionTimeoutMs: 30 * 60_000,
  initialRebalanceDelayMs: 50,
  cleanIntervalMs: 30_000,
};

/** Time for requests in flight at a stop, before their connections are closed all the same. */
const STOP_GRACE_MS = 3_000;

/** What the handlers of the APIs work on, and what a test holds in its hands. */
export class Broker {
  readonly nodeId = 1;
  readonly control = new Control();
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
  ) {}

  /** Where clients are told to connect. */
  get host(): string {
    return isWildcard(this.options.host) ? "localhost" : this.options.host;
  }

  /** The port that is listened on, also when any was asked for. */
  get port(): number {
    return this.#server?.port ?? this.options.port;
  }

  get logger(): Logger {
    return this.options.logger;
  }

  /** @throws Error when the address cannot be listened on. */
  start(): void {
    const { host, port, maxFrameBytes, logger } = this.options;
    this.#server = listen({
      host,
      port,
      maxFrameBytes,
      handle: (frame, peer) => dispatch(frame, this, peer),
      onError: (error, { host: client }) =>
        logger.warn("connection closed", { client, reason: messageOf(error) }),
    });
    this.cleaner.start();
  }

  /** Answers what is in flight, syncs, closes. Again: the same promise. */
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

/** Listening on every address is no address that a client could connect to. */
function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** Resolves when clients can connect. @throws when the directory or the port cannot be used. */
export async function startBroker(given: BrokerOptions): Promise<Broker> {
  const options = { ...defaults, logger: createLogger("silent"), ...given };
  const disk = new Disk();
  const lock = await lockDirectory(disk, options.dataDir);
  const closers: (() => Promise<void> | void)[] = [() => lock.release()];
  const release = async () => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const journal = await Journal.open(disk, join(options.dataDir, "state.journal"));
    closers.push(() => journal.close());
    const topics = new Topics(join(options.dataDir, "topics"), disk, journal, options.logger);
    closers.push(() => topics.close());
    await topics.load();
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

async function lockDirectory(disk: Disk, path: string): Promise<Lock> {
  try {
    await disk.makeDirectory(path);
    const lock = acquireLock(join(path, "broker.lock"));
    if (lock === undefined) throw new Error(`${path} is in use by another broker`);
    return lock;
  } catch (error) {
    throw new Error(`the data directory cannot be used: ${messageOf(error)}`);
  }
}

/** Made once, kept for the life of the data directory: 16 random bytes, as Apache Kafka writes them. */
async function clusterIdIn(journal: Journal): Promise<string> {
  const known = journal.get("cluster-id");
  if (typeof known === "string") return known;
  const id = randomBytes(16).toString("base64url");
  await journal.write([["cluster-id", id]]);
  return id;
}
