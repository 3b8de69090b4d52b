import { Database } from "bun:sqlite";
import { join } from "node:path";
import { Kafka, logLevel, Partitioners } from "kafkajs";

/*
 * What every process of the floor does: the outbox, the inbox and the offsets of the store, with no more than these lines.
 * It is only to be measured: it can be stopped and started again, and does not survive much else.
 */

const TOPICS = ["order.commands", "order.events", "inventory.events"] as const;
export type FloorTopic = (typeof TOPICS)[number];
const PARTITIONS = 4;
/** As many records as the store's relay sends at a time. */
const BATCH = 500;

/** What of a CloudEvent the floor reads. */
export interface FloorMessage {
  readonly id: string;
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly data: { readonly orderId: string; readonly customerId: string; readonly items: FloorLine[] };
}

export interface FloorLine {
  readonly productId: string;
  readonly quantity: number;
}

interface OutboxRow {
  readonly seq: number;
  readonly topic: string;
  readonly key: string;
  readonly value: string;
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS offsets (topic TEXT, part INTEGER, next INTEGER, PRIMARY KEY (topic, part)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, key TEXT, value TEXT);
`;

export class FloorNode {
  readonly database: Database;
  readonly #name: string;
  readonly #kafka: Kafka;
  readonly #producer;
  readonly #statements;
  readonly #commit: (works: readonly (() => void)[]) => void;
  #works: { readonly run: () => void; readonly done: PromiseWithResolvers<void> }[] = [];
  #afterCommit: (() => void)[] = [];
  #sent = 0;
  #deleted = 0;
  #isSending = false;

  constructor(name: string, dataDir: string, brokers: string) {
    this.#name = name;
    this.database = new Database(join(dataDir, `floor-${name}.sqlite`), { create: true, strict: true });
    this.database.run(SCHEMA);
    const { database } = this;
    this.#statements = {
      claim: database.prepare<null, [string]>("INSERT INTO inbox VALUES (?) ON CONFLICT DO NOTHING"),
      advance: database.prepare<null, [string, number, number]>(
        "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
      ),
      enqueue: database.prepare<null, [string, string, string]>(
        "INSERT INTO outbox (topic, key, value) VALUES (?, ?, ?)",
      ),
      unsent: database.prepare<OutboxRow, [number]>(
        `SELECT seq, topic, key, value FROM outbox WHERE seq > ? ORDER BY seq LIMIT ${BATCH}`,
      ),
      remove: database.prepare<null, [number]>("DELETE FROM outbox WHERE seq <= ?"),
      next: database.prepare<{ next: number }, [string, number]>(
        "SELECT next FROM offsets WHERE topic = ? AND part = ?",
      ),
    };
    this.#commit = database.transaction((works) => {
      for (const work of works) work();
      // What the broker has acknowledged is deleted in a transaction that commits anyway.
      if (this.#sent > this.#deleted) this.#statements.remove.run(this.#sent);
      this.#deleted = this.#sent;
    }).immediate;
    this.#kafka = new Kafka({
      clientId: `floor-${name}`,
      brokers: brokers.split(","),
      // kafkajs gives up after a second, which a busy machine may need.
      connectionTimeout: 30_000,
      logLevel: logLevel.ERROR,
    });
    this.#producer = this.#kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  }

  /** Creates the topics, and connects the producer. */
  async connect(): Promise<void> {
    const admin = this.#kafka.admin();
    await admin.connect();
    const topics = TOPICS.map((topic) => ({ topic, numPartitions: PARTITIONS }));
    // Another process may create them at the same time: then they are there soon.
    await admin.createTopics({ topics, waitForLeaders: true }).catch(() => false);
    for (;;) {
      const existing = await admin.listTopics();
      if (TOPICS.every((topic) => existing.includes(topic))) break;
      await Bun.sleep(10);
    }
    await admin.disconnect();
    await this.#producer.connect();
  }

  /** Group commit: all that is queued in one turn of the event loop is one transaction. Resolves when it is on disk. */
  write(run: () => void): Promise<void> {
    const done = Promise.withResolvers<void>();
    if (this.#works.length === 0) setImmediate(() => this.#flush());
    this.#works.push({ run, done });
    return done.promise;
  }

  #flush(): void {
    const works = this.#works;
    this.#works = [];
    this.#commit(works.map(({ run }) => run));
    const callbacks = this.#afterCommit;
    this.#afterCommit = [];
    for (const callback of callbacks) callback();
    for (const { done } of works) done.resolve();
    void this.#relay();
  }

  /** Within `write`. */
  emit(topic: FloorTopic, type: string, data: FloorMessage["data"]): void {
    const message = {
      ...{ specversion: "1.0", id: Bun.randomUUIDv7(), source: this.#name, type, subject: data.orderId },
      ...{ time: new Date().toISOString(), datacontenttype: "application/json", data },
    };
    this.#statements.enqueue.run(topic, data.orderId, JSON.stringify(message));
  }

  /** Within `write`. */
  afterCommit(callback: () => void): void {
    this.#afterCommit.push(callback);
  }

  /** Sends the outbox in order, with one send in flight. */
  async #relay(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    for (;;) {
      const rows = this.#statements.unsent.all(this.#sent);
      const last = rows.at(-1);
      if (last === undefined) break;
      const topicMessages = [...Map.groupBy(rows, ({ topic }) => topic)].map(([topic, messages]) => ({
        topic,
        messages: messages.map(({ key, value }) => ({ key, value })),
      }));
      await this.#producer.sendBatch({ acks: -1, topicMessages });
      this.#sent = last.seq;
    }
    this.#isSending = false;
  }

  /** Handles each message once, in the transaction that stores its offset. Resolves when the group has its partitions. */
  async consume(topics: readonly FloorTopic[], handle: (message: FloorMessage) => void): Promise<void> {
    const consumer = this.#kafka.consumer({
      groupId: `floor-${this.#name}`,
      // As in the store's own consumer.
      ...{ sessionTimeout: 6_000, heartbeatInterval: 1_500, maxWaitTimeInMs: 100, minBytes: 1 },
      ...{ maxBytesPerPartition: 512 * 1024, maxBytes: 8 * 1024 * 1024 },
    });
    const joined = Promise.withResolvers<void>();
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
        for (const partition of partitions) {
          const next = this.#statements.next.get(topic, partition)?.next;
          if (next !== undefined) consumer.seek({ topic, partition, offset: String(next) });
        }
      }
      joined.resolve();
    });
    // Without this, the group would wait for it when it starts again.
    process.once("SIGTERM", () => void consumer.disconnect().finally(() => process.exit(0)));
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: topics.length * PARTITIONS,
      eachBatch: ({ batch }) =>
        this.write(() => {
          for (const { value } of batch.messages) {
            const message: FloorMessage = JSON.parse(String(value));
            if (this.#statements.claim.run(message.id).changes === 1) handle(message);
          }
          this.#statements.advance.run(batch.topic, batch.partition, Number(batch.lastOffset()) + 1);
        }),
    });
    await joined.promise;
  }
}
