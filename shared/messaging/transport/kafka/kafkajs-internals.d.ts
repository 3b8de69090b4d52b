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
  export default class Runner {
    readonly running: boolean;
    readonly consumerGroup: { leave(): Promise<void> };
    onCrash: (error: Error) => Promise<void>;
    start(): Promise<void>;
  }
}

declare module "kafkajs/src/protocol/error.js" {
  export function createErrorFromCode(code: number): Error;
}

declare module "kafkajs/src/protocol/requests/produce/index.js" {
  interface Exchange {
    readonly request: unknown;
    readonly response: { readonly parse: (decoded: unknown) => Promise<unknown> };
  }
  const Produce: { protocol: (version: { readonly version: number }) => (options: object) => Exchange };
  export default Produce;
}
