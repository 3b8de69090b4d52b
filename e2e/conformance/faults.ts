import { ApiKey, type Fault, type RuleHandle } from "@distributed-messaging/embedded-broker";
import { type Logger, type Runtime, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { Fixture } from "@distributed-messaging/messaging/conformance";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import type { EmbeddedBrokerUnderTest } from "./embedded.ts";

/** Shorter than in production, so that a request that hangs does not make its test slow. */
const REQUEST_TIMEOUT_MS = 1_000;

export type Api = keyof typeof ApiKey;

/** A fixture on the embedded broker that injects faults into the requests of its own clients only. */
export class FaultFixture extends Fixture {
  readonly #server: EmbeddedBrokerUnderTest;
  readonly #clientId: string;

  constructor(
    server: EmbeddedBrokerUnderTest,
    runtime: Runtime = systemRuntime,
    requestTimeoutMs = REQUEST_TIMEOUT_MS,
    log: Logger = silentLogger,
  ) {
    const clientId = `faults.${crypto.randomUUID()}`;
    const settings = { brokers: [server.address], clientId, requestTimeoutMs };
    super({ ...server, connect: (topics) => kafkaTransport(settings, topics, runtime, log) });
    this.#server = server;
    this.#clientId = clientId;
  }

  /** Injects a fault into the next requests of this fixture's clients; `Infinity` times: until the rule is removed. */
  inject(api: Api, fault: Fault, times = 1): RuleHandle {
    const when = ({ clientId }: { readonly clientId: string }) => clientId === this.#clientId;
    return this.#server.broker.control.on(ApiKey[api], { ...fault, times, when });
  }

  /** Calls back with each decoded request of this fixture's clients. */
  watch(api: Api, onRequest: (request: unknown) => void): RuleHandle {
    const when = ({ clientId, request }: { readonly clientId: string; readonly request: unknown }) => {
      if (clientId === this.#clientId) onRequest(request);
      return false;
    };
    return this.#server.broker.control.on(ApiKey[api], {
      fault: "cut",
      times: Number.POSITIVE_INFINITY,
      when,
    });
  }
}
