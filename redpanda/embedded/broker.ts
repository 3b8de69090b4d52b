/**
 * A one-node broker for the Kafka protocol, for development and tests: no replication, no TLS. With a data directory, an
 * acknowledged record is on disk; without one, the broker leaves nothing behind. UNSUPPORTED.md lists what is left out.
 *
 *   await using broker = await startBroker();
 *   … clients connect to broker.brokers …
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Address, formatAddress, isLoopback, isWildcard, parseConnectable } from "./address.ts";
import { Cleaner } from "./cleaner.ts";
import { Control } from "./control.ts";
import { type DispatchContext, dispatch } from "./dispatch.ts";
import { Offsets } from "./groups/offsets.ts";
import { GroupCoordinator } from "./groups.ts";
import { createLogger, type Logger, messageOf } from "./logger.ts";
import { ProducerIds } from "./producer-ids.ts";
import type { Limits } from "./server/connection.ts";
import { MemoryBudget } from "./server/memory-budget.ts";
import { connectionsBeside } from "./server/open-files.ts";
import { listen, type Server } from "./server.ts";
import { CleanStop } from "./storage/clean-stop.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { lockDirectory } from "./storage/lock.ts";
import { memoryFileSystem } from "./storage/memory-file-system.ts";
import { type LogSummaries, Topics } from "./topics.ts";
import { TransactionCoordinator } from "./transactions.ts";

/** A topic to create. */
export interface NewTopic {
  readonly name: string;
  /** `defaultPartitions` by default. */
  readonly partitions?: number;
  /** Topic configurations of Kafka, such as `cleanup.policy`. */
  readonly config?: Readonly<Record<string, string>>;
}

export interface BrokerOptions {
  /** Created if missing; used by one broker at a time. Without it everything is in memory, and gone after a stop. */
  readonly dataDir?: string;
  /** The address to listen on: by default `localhost`, which is both 127.0.0.1 and ::1. */
  readonly host?: string;
  /** 0, the default: any free port. */
  readonly port?: number;
  /** The `host:port` that clients are given. By default where it listens; for a wildcard address, `localhost`. */
  readonly advertised?: string;
  /** Created if missing, before the first client can connect. One that exists must have as many partitions. */
  readonly topics?: readonly NewTopic[];
  /** By default nothing is logged. */
  readonly logger?: Logger;
  /** Whether a Metadata request that allows it creates missing topics. */
  readonly autoCreateTopics?: boolean;
  readonly defaultPartitions?: number;
  /** The partitions of all topics together. Each segment of a partition keeps a file open. */
  readonly maxPartitions?: number;
  /** How much memory the files of a broker without a data directory take; a write above fails as on a full disk. */
  readonly maxMemoryBytes?: number;
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
  /** The longest timeout that a transactional producer may ask for. */
  readonly maxTransactionTimeoutMs?: number;
  /** How long an unused transactional id is kept. */
  readonly transactionalIdExpirationMs?: number;
  /** The pause between two runs of retention and compaction. */
  readonly cleanIntervalMs?: number;
}

const defaults = {
  host: "localhost",
  port: 0,
  topics: [],
  autoCreateTopics: false,
  defaultPartitions: 1,
  maxPartitions: 4_000,
  maxMemoryBytes: 1024 ** 3,
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
  maxTransactionTimeoutMs: 15 * 60_000,
  transactionalIdExpirationMs: 7 * 24 * 60 * 60_000,
  cleanIntervalMs: 30_000,
};

type Options = Required<Omit<BrokerOptions, "dataDir" | "advertised">> & BrokerOptions;

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
    readonly options: Options,
    private readonly advertised: Address | undefined,
    readonly clusterId: string,
    readonly disk: Disk,
    readonly topics: Topics,
    readonly groups: GroupCoordinator,
    readonly producerIds: ProducerIds,
    readonly transactions: TransactionCoordinator,
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

  /** For the setting of a client that is called brokers, or bootstrap servers. */
  get brokers(): string[] {
    return [formatAddress(this)];
  }

  /** The host that clients are given. */
  get host(): string {
    if (this.advertised) return this.advertised.host;
    return isWildcard(this.options.host) ? "localhost" : this.options.host;
  }

  /** The port that clients are given. */
  get port(): number {
    return this.advertised?.port ?? this.listening.port;
  }

  /** Where the broker listens; also when port 0 was requested, the port in use. */
  get listening(): Address {
    const { host, port } = this.options;
    return { host, port: this.#server?.port ?? port };
  }

  get logger(): Logger {
    return this.options.logger;
  }

  /** @throws Error when the address cannot be listened on. */
  async start(): Promise<void> {
    const { host, maxConnections, logger } = this.options;
    const mostBeside = connectionsBeside();
    this.#server = await listen({
      ...this.options,
      ...this.memory,
      refusal: (open) => {
        if (open >= maxConnections) return `${open} are open (maxConnections)`;
        const isLast = open >= mostBeside(this.options.dataDir === undefined ? 0 : this.disk.openFiles);
        return isLast ? `${open} are open, and the process may not open many more files` : undefined;
      },
      onRefused: (reason) => logger.warn("connections are refused", { reason }),
      handle: (frame, peer) => dispatch(frame, this, peer),
      onError: (error, { host: client }) =>
        logger.warn("connection closed", { client, reason: messageOf(error) }),
    });
    this.cleaner.start();
    void this.topics.verify();
    if (isLoopback(host)) return;
    logger.warn("other machines may connect, and there is no access control", { host });
    if (!isWildcard(host) || this.advertised) return;
    const clientsAreGiven = formatAddress(this);
    logger.warn("only clients on this machine can use the address that they are given: set `advertised`", {
      host,
      clientsAreGiven,
    });
  }

  /** Resolves when the topic is usable. @throws KafkaError, TOPIC_ALREADY_EXISTS for one that exists */
  async createTopic({ name, partitions, config }: NewTopic): Promise<void> {
    await this.topics.create(name, partitions ?? this.options.defaultPartitions, { ...config });
  }

  /** Answers requests in flight, syncs and closes. A second call returns the same promise. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** As `stop`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.cleaner.stop();
    this.groups.close();
    await this.#server?.stop(STOP_GRACE_MS);
    await this.release();
  }
}

/**
 * Resolves when clients can connect. Without options: in memory, on a free port of localhost.
 * @throws Error when an option is invalid, or the directory or the port cannot be used.
 */
export async function startBroker(given: BrokerOptions = {}): Promise<Broker> {
  const options = { ...defaults, logger: createLogger("silent"), ...given };
  const advertised = options.advertised === undefined ? undefined : parseConnectable(options.advertised);
  if (options.advertised !== undefined && !advertised) {
    throw new Error(`advertised: "${options.advertised}" is not a host:port to connect to`);
  }
  const { disk, directory, lock } = await openStorage(options);
  const cleanStop = new CleanStop<LogSummaries>(disk, directory);
  let summarize: (() => LogSummaries | undefined) | undefined;
  const failures: unknown[] = [];
  const recordStop = async () => {
    const summaries = failures.length === 0 ? summarize?.() : undefined;
    if (!summaries) return;
    // Without the record the next start takes this stop for an unclean one, which is safe.
    await cleanStop.record(summaries).catch((error: unknown) => {
      options.logger.warn("the clean stop cannot be recorded", { error: messageOf(error) });
    });
  };
  const closers: (() => Promise<void> | void)[] = [() => lock?.release(), recordStop];
  const release = async () => {
    for (const close of closers.reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    const { logger } = options;
    const wasClean = await cleanStop.isRecorded();
    const path = join(directory, "state.journal");
    const journal = await Journal.open(disk, path, { cleanStop: wasClean, logger });
    closers.push(() => journal.close());
    const topics = new Topics(directory, disk, journal, logger, options.maxPartitions);
    closers.push(() => topics.close());
    await topics.load(wasClean, wasClean ? await cleanStop.summary() : undefined);
    await cleanStop.erase();
    // From here on a stop is clean, also when the port cannot be used.
    summarize = () => (journal.tailIsTorn || topics.needRecovery ? undefined : topics.summaries);
    const clusterId = await clusterIdIn(journal);
    const offsets = new Offsets(journal);
    // Those that were stored during the deletion of their topic, which a crash then interrupted.
    await journal.write(offsets.deletions((topic) => topics.find({ name: topic, id: null }) === undefined));
    for (const group of offsets.unlisted()) {
      const text = "a group is not listed: its id or its protocol type is too long for the protocol";
      logger.warn(text, { beginsWith: group.slice(0, 100), bytes: Buffer.byteLength(group) });
    }
    const groups = new GroupCoordinator(offsets, options);
    const producerIds = new ProducerIds(journal);
    const transactions = new TransactionCoordinator(
      { journal, topics, groups, producerIds, logger },
      options,
    );
    closers.push(() => transactions.close());
    await transactions.recover();
    const broker = new Broker(
      options,
      advertised,
      clusterId,
      disk,
      topics,
      groups,
      producerIds,
      transactions,
      new Cleaner(topics, options.cleanIntervalMs, options.logger),
      release,
    );
    for (const topic of options.topics) await createIfMissing(broker, topic);
    await broker.start();
    return broker;
  } catch (error) {
    // What stopped the start is the error to report.
    await release().catch(() => {});
    throw error;
  }
}

async function openStorage({ dataDir, maxMemoryBytes }: Options) {
  if (dataDir === undefined) {
    return { disk: new Disk(memoryFileSystem(maxMemoryBytes)), directory: "/", lock: undefined };
  }
  const disk = new Disk();
  const lock = await lockDirectory(disk, dataDir).catch((error: unknown) => {
    throw new Error(`the data directory cannot be used: ${messageOf(error)}`);
  });
  return { disk, directory: dataDir, lock };
}

/** @throws Error when the topic exists with another number of partitions. */
async function createIfMissing(broker: Broker, topic: NewTopic): Promise<void> {
  const { name, partitions = broker.options.defaultPartitions } = topic;
  const existing = broker.topics.find({ name, id: null })?.partitions.length;
  if (existing === undefined) return broker.createTopic(topic);
  if (existing !== partitions)
    throw new Error(`topic ${name} exists with ${existing} partitions, not ${partitions}`);
}

/** Created once per data directory: 16 random bytes in the encoding of Apache Kafka. */
async function clusterIdIn(journal: Journal): Promise<string> {
  const known = journal.get("cluster-id");
  if (typeof known === "string") return known;
  const id = randomBytes(16).toString("base64url");
  await journal.write([["cluster-id", id]]);
  return id;
}
