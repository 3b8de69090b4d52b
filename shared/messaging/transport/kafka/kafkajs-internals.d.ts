/* The parts of kafkajs that client.ts corrects. kafkajs publishes no types for them. */

declare module "kafkajs/package.json" {
  const manifest: { readonly version: string };
  export default manifest;
}

declare module "kafkajs/src/network/requestQueue/index.js" {
  interface InflightRequest {
    /** Milliseconds since the epoch; null before. */
    readonly sentAt: number | null;
    readonly requestTimeout: number;
    timeoutRequest(): void;
  }
  export default class RequestQueue {
    readonly pending: readonly unknown[];
    readonly inflight: ReadonlyMap<number, InflightRequest>;
    /** Milliseconds. */
    readonly requestTimeout: number;
    readonly enforceRequestTimeout: boolean;
    requestTimeoutIntervalId: ReturnType<typeof setInterval> | undefined;
    readonly isConnected: () => boolean;
    scheduleCheckPendingRequests(): void;
    /** Called when the connection is made. */
    scheduleRequestTimeoutCheck(): void;
    /** Cancels the timers. */
    destroy(): void;
  }
}

declare module "kafkajs/src/consumer/runner.js" {
  interface FetchedBatch {
    readonly topic: string;
    readonly partition: number;
    /** What was asked for. */
    readonly fetchedOffset: string;
    readonly highWatermark: string;
    /** As they were decoded. */
    readonly rawMessages: readonly object[];
  }
  export default class Runner {
    readonly running: boolean;
    readonly consumerGroup: {
      leave(): Promise<void>;
      /** Of the next fetch, in milliseconds. */
      maxWaitTime: number;
    };
    /** As it was passed to `run`. */
    readonly eachBatch: object;
    onCrash: (error: Error) => Promise<void>;
    start(): Promise<void>;
    fetch(nodeId: string): Promise<readonly FetchedBatch[]>;
    /** Tells the group that this member lives, unless it was told within the interval. */
    heartbeat(): Promise<void>;
    handleBatch(batch: FetchedBatch): Promise<void>;
  }
}

declare module "kafkajs/src/cluster/index.js" {
  interface RawRequest<T> {
    readonly request: {
      readonly apiKey: number;
      readonly apiVersion: number;
      readonly apiName: string;
      encode(): Promise<import("kafkajs/src/protocol/encoder.js").default>;
    };
    readonly response: {
      /** @param body what follows the header */
      decode(body: Buffer): Promise<T>;
      parse(decoded: T): Promise<T>;
    };
    readonly requestTimeout: number;
  }
  interface Broker {
    /** Resolves with what `response.parse` does. */
    readonly connectionPool: { send<T>(request: RawRequest<T>): Promise<T> };
    connect(): Promise<void>;
    findGroupCoordinator(request: object): Promise<unknown>;
  }
  export default class Cluster {
    constructor(options: object);
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    /** Loads their metadata. */
    addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
    /** The partitions by the id of the broker that leads them. */
    findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>;
    findBroker(options: { readonly nodeId: string }): Promise<Broker>;
    /** Calls `work` with one broker after the other until it resolves. What it rejects with is lost. */
    readonly brokerPool: {
      /** What the first broker that answered supports, by API key; null before. */
      readonly versions: Readonly<Record<number, { minVersion: number; maxVersion: number }>> | null;
      withBroker<T>(work: (found: { readonly broker: Broker }) => Promise<T>): Promise<T | null>;
    };
    findGroupCoordinatorMetadata(request: object): Promise<unknown>;
  }
}

declare module "kafkajs/src/protocol/error.js" {
  export function createErrorFromCode(code: number): Error & { readonly retriable: boolean };
}

declare module "kafkajs/src/protocol/requests/produce/index.js" {
  interface ProduceResponse {
    readonly topics: readonly { readonly partitions: readonly { readonly errorCode: number }[] }[];
  }
  interface Exchange {
    readonly request: { encode: () => Promise<{ readonly buffer: Buffer }> };
    readonly response: { readonly parse: (decoded: ProduceResponse) => Promise<unknown> };
  }
  const Produce: {
    protocol: (version: {
      readonly version: number;
    }) => (options: import("./produce.ts").ProduceOptions) => Exchange;
  };
  export default Produce;
}

declare module "kafkajs/src/protocol/requests/fetch/index.js" {
  interface FetchResponse {
    decode: (body: Buffer) => Promise<unknown>;
  }
  const fetch: {
    protocol(options: { version: number }): (options: { topics: [] }) => { response: FetchResponse };
  };
  export default fetch;
}

declare module "kafkajs/src/protocol/encoder.js" {
  /** Bytes that grow as they are written. */
  export default class Encoder {
    /** What is written. */
    readonly buffer: Buffer;
    writeInt8(value: number): this;
    writeInt32(value: number): this;
    /** A string has the digits of the number. */
    writeInt64(value: number | string): this;
    writeString(value: string | null): this;
  }
}

declare module "kafkajs/src/protocol/recordBatch/crc32C/index.js" {
  export default function crc32c(bytes: Buffer): number;
}

declare module "kafkajs/src/producer/partitioners/default/murmur2.js" {
  export default function murmur2(key: string): number;
}
