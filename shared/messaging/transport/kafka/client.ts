import net from "node:net";
import tls from "node:tls";
import { type ISocketFactory, type ISocketFactoryArgs, Kafka, logLevel, type SASLOptions } from "kafkajs";
import type { Logger } from "../../runtime.ts";

export interface KafkaSettings {
  /** `host:port` of any brokers of the cluster. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl?: boolean;
  readonly sasl?: SASLOptions;
  /** A request that takes longer has gone to a broker that is no longer there. Milliseconds; 10,000 unless given. */
  readonly requestTimeoutMs?: number;
}

const REQUEST_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 2_000;
const KEEP_ALIVE_MS = 60_000;

/** How long a client that is thrown away may take to say goodbye. */
export const DISCONNECT_TIMEOUT_MS = 3_000;

/** A kafkajs client with the settings that the whole kit uses. */
export function connectTo(settings: KafkaSettings, log: Logger, socketFactory?: ISocketFactory): Kafka {
  return new Kafka({
    clientId: settings.clientId,
    brokers: [...settings.brokers],
    ssl: settings.ssl ?? false,
    ...(settings.sasl === undefined ? {} : { sasl: settings.sasl }),
    ...(socketFactory === undefined ? {} : { socketFactory }),
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: settings.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    // Few and quick: who is told of a failure early can say so; the retrying is done by those who know why.
    // All are given: kafkajs has other defaults where NODE_ENV is "test".
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3, factor: 0.2, multiplier: 2 },
    logLevel: logLevel.INFO,
    // A broker that is away makes kafkajs shout at every attempt. The kit says it once, in its own words.
    logCreator: () => (entry) => {
      const { message, timestamp: _, ...fields } = entry.log;
      log.debug({ kafkajs: entry.namespace, ...fields }, message);
    },
  });
}

/**
 * A kafkajs client that can be made to let go at once. By itself kafkajs waits for every answer that it is owed,
 * however dead the broker, and a consumer that is told to stop while it joins a group goes on to consume.
 */
export class KafkaClient {
  readonly kafka: Kafka;
  readonly #sockets = new Set<net.Socket>();
  #abandoned = false;

  constructor(settings: KafkaSettings, log: Logger) {
    this.kafka = connectTo(settings, log, (options) => this.#connect(options));
  }

  /** Cuts every connection and makes no new ones: what waits for an answer fails now, what is tried again fails too. */
  destroy(): void {
    this.#abandoned = true;
    // With an error, for kafkajs listens to nothing else: a plain close would leave its requests waiting.
    for (const socket of this.#sockets) socket.destroy(new Error("this client is no longer used"));
  }

  #connect({ host, port, ssl, onConnect }: ISocketFactoryArgs): net.Socket {
    if (this.#abandoned) throw new Error("this client is no longer used");
    const servername = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl
      ? tls.connect({ host, port, ...servername, ...ssl }, onConnect)
      : net.connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }
}

/** Waits for something that may never end, or fail. */
export async function atMost(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.then(() => {}).catch(() => {}), limit]);
  clearTimeout(timer);
}

/** The same result, or a rejection after `limitMs`. */
export async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`${what}: no answer for ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
