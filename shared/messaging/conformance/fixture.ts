import { randomBytes } from "node:crypto";
import type { Topic } from "../contract/define.ts";
import { eventually } from "../testing/eventually.ts";
import {
  type Batch,
  type IncomingRecord,
  type OutgoingRecord,
  type Progress,
  type SubscribeOptions,
  type Subscription,
  topicPartition,
} from "../transport/transport.ts";
import type { BrokerUnderTest, ClientUnderTest } from "./broker.ts";

export const PARTITIONS = 4;

/** Whether a promise was rejected. Unlike `expect(…).rejects`, it leaves the event loop alone. */
export async function rejects(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => false,
    () => true,
  );
}

export function record(
  topic: Topic,
  key: string | null,
  value: OutgoingRecord["value"],
  headers: Record<string, string> = {},
): OutgoingRecord {
  return { topic: topic.name, key, value, headers };
}

/** The topics, groups and clients of one test, on a broker that other tests use at the same time. */
export class Fixture implements AsyncDisposable {
  readonly broker: BrokerUnderTest;
  readonly #clients: ClientUnderTest[] = [];
  readonly #readers: Reader[] = [];

  constructor(broker: BrokerUnderTest) {
    this.broker = broker;
  }

  /** A topic with a new name. It does not exist before a client is connected with it. */
  topic(partitions = PARTITIONS): Topic {
    return { name: `conformance.${crypto.randomUUID()}`, key: "any", partitions, config: {} };
  }

  connect(...topics: Topic[]): ClientUnderTest {
    const client = this.broker.connect(topics);
    this.#clients.push(client);
    return client;
  }

  read(client: ClientUnderTest, options: ReaderOptions): Reader {
    const reader = new Reader(client, options);
    this.#readers.push(reader);
    return reader;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.subscription.stop()));
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

export interface ReaderOptions {
  readonly topics: readonly Topic[];
  readonly group?: string;
  readonly startAt?: SubscribeOptions["startAt"];
  readonly rereadsLast?: boolean;
  readonly fetchIntervalMs?: number;
  /** Called after the batch was recorded. */
  readonly handle?: (batch: Batch) => Promise<Progress | undefined>;
  /** Positions by `topic/partition`; shared by readers that take over from each other. */
  readonly positions?: Map<string, number>;
}

/** A subscription that records every call. It keeps its positions, as a service does. */
export class Reader {
  readonly subscription: Subscription;
  readonly group: string;
  readonly batches: Batch[] = [];
  /** The partitions for which `startAt` was called, in order. */
  readonly starts: string[] = [];
  readonly positions: Map<string, number>;
  /** How often it was told of each partition that there is nothing more. */
  readonly caughtUp = new Map<string, number>();

  constructor(client: ClientUnderTest, options: ReaderOptions) {
    this.group = options.group ?? `conformance.${crypto.randomUUID()}`;
    this.positions = options.positions ?? new Map();
    this.subscription = client.subscribe({
      group: this.group,
      topics: options.topics.map((topic) => topic.name),
      startAt: (topic, partition) => {
        this.starts.push(topicPartition(topic, partition));
        const position = this.positions.get(topicPartition(topic, partition));
        return position ?? options.startAt?.(topic, partition);
      },
      rereadsLast: options.rereadsLast ?? false,
      fetchIntervalMs: options.fetchIntervalMs ?? 0,
      caughtUp: (topic, partition) => {
        const name = topicPartition(topic, partition);
        this.caughtUp.set(name, (this.caughtUp.get(name) ?? 0) + 1);
      },
      handle: async (batch) => {
        this.batches.push(batch);
        const progress = (await options.handle?.(batch)) ?? { next: after(batch) };
        this.positions.set(topicPartition(batch.topic, batch.partition), progress.next);
        return progress;
      },
    });
  }

  get records(): IncomingRecord[] {
    return this.batches.flatMap((batch) => batch.records);
  }

  get values(): string[] {
    return this.records.map(textOf);
  }

  /** Records that were delivered more than once; one that is stored twice has two offsets. */
  get redelivered(): IncomingRecord[] {
    const seen = new Set<string>();
    return this.records.filter(({ topic, partition, offset }) => {
      const place = `${topic}/${partition}/${offset}`;
      return seen.has(place) || !seen.add(place);
    });
  }

  /** Those that came from one partition, or with one key. */
  valuesOf(which: { readonly partition?: number; readonly key?: string }): string[] {
    return this.records
      .filter(({ partition }) => which.partition === undefined || partition === which.partition)
      .filter(({ key }) => which.key === undefined || key === which.key)
      .map(textOf);
  }

  hasSome(values: readonly string[]): boolean {
    return this.values.some((value) => values.includes(value));
  }

  has(...values: readonly string[]): boolean {
    const seen = new Set(this.values);
    return values.every((value) => seen.has(value));
  }

  async hasAll(values: readonly string[]): Promise<void> {
    await eventually(() => this.has(...values), `records arrive: ${values.slice(0, 5).join(", ")}…`);
  }

  async hasAllOf(key: string, values: readonly string[]): Promise<void> {
    await eventually(() => {
      const seen = new Set(this.valuesOf({ key }));
      return values.every((value) => seen.has(value));
    }, `all records of ${key} arrive`);
  }

  async isHealthy(): Promise<void> {
    await eventually(() => this.subscription.healthy(), "the subscription is healthy");
  }
}

export function after(batch: Batch): number {
  return (batch.undecodable?.lastOffset ?? batch.records.at(-1)?.offset ?? batch.start - 1) + 1;
}

export function textOf(incoming: IncomingRecord): string {
  return incoming.value === null ? "(null)" : Buffer.from(incoming.value).toString();
}

/** Without repetitions, in the order of the first ones: a send whose response was lost is repeated. */
export function firsts(values: readonly string[]): string[] {
  return [...new Set(values)];
}

export function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** A text that has nearly its length when it is compressed. */
export function noise(characters: number): string {
  return randomBytes(characters).toString("base64").slice(0, characters);
}
