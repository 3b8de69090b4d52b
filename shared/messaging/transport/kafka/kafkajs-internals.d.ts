/* The parts of kafkajs that client.ts corrects. kafkajs publishes no types for them. */

declare module "kafkajs/package.json" {
  const manifest: { readonly version: string };
  export default manifest;
}

declare module "kafkajs/src/network/requestQueue/index.js" {
  export default class RequestQueue {
    readonly pending: readonly unknown[];
    scheduleCheckPendingRequests(): void;
  }
}

declare module "kafkajs/src/consumer/runner.js" {
  interface FetchedBatch {
    readonly topic: string;
    readonly partition: number;
    readonly highWatermark: string;
    /** As they were decoded. */
    readonly rawMessages: readonly object[];
  }
  export default class Runner {
    readonly running: boolean;
    readonly consumerGroup: { leave(): Promise<void> };
    /** As it was passed to `run`. */
    readonly eachBatch: object;
    onCrash: (error: Error) => Promise<void>;
    start(): Promise<void>;
    handleBatch(batch: FetchedBatch): Promise<void>;
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
    readonly request: unknown;
    readonly response: { readonly parse: (decoded: ProduceResponse) => Promise<unknown> };
  }
  const Produce: { protocol: (version: { readonly version: number }) => (options: object) => Exchange };
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
