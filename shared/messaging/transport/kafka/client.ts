/// <reference path="./kafkajs-internals.d.ts" />
import net from "node:net";
import tls from "node:tls";
import {
  type ISocketFactoryArgs,
  Kafka,
  type KafkaConfig,
  logLevel,
  type Mechanism,
  type SASLOptions,
} from "kafkajs";
import manifest from "kafkajs/package.json" with { type: "json" };
import Cluster from "kafkajs/src/cluster/index.js";
import Runner from "kafkajs/src/consumer/runner.js";
import RequestQueue from "kafkajs/src/network/requestQueue/index.js";
import fetch from "kafkajs/src/protocol/requests/fetch/index.js";
import Produce from "kafkajs/src/protocol/requests/produce/index.js";
import type { Logger } from "../../runtime.ts";

import { errorOfCode } from "./errors.ts";
import { complete, decodeFetchResponse, emptyLogOf, FETCH_VERSIONS, undecodableOf } from "./fetch.ts";
import { oauthBearer } from "./oauthbearer.ts";
import { encodeProduceRequest, isOwnRequest, OWN_PRODUCE_VERSION } from "./produce.ts";
import type { TopicSetup } from "./topics.ts";

export interface KafkaSettings {
  /** `host:port` of any brokers of the cluster. */
  readonly brokers: readonly string[];
  /** The name that the brokers see. */
  readonly clientId: string;
  /** TLS; the brokers are verified in any case, by default with the system's CAs. @defaultValue `false` */
  readonly ssl?: boolean | (() => TlsCredentials);
  /** How the client authenticates itself at the brokers. @defaultValue not with SASL */
  readonly sasl?: SaslCredentials;
  /** What is done about missing topics. @defaultValue they are created */
  readonly topics?: TopicSetup;
  /** After how long without a response a request has failed, in milliseconds. @defaultValue 10,000 */
  readonly requestTimeoutMs?: number;
}

/** Each in PEM. What returns them is called for each connection, so that renewed files are used without a restart. */
export interface TlsCredentials {
  /** The CAs that may have issued the brokers' certificates, in place of the system's. */
  readonly ca?: string;
  /** The client's own certificate, with those between it and its CA. */
  readonly cert?: string;
  readonly key?: string;
  /** Decrypts the key. */
  readonly passphrase?: string;
}

/** A function that gives the secret is called at each authentication, so that a new secret is used without a restart. */
export type SaslCredentials = PasswordCredentials | TokenCredentials;

interface PasswordCredentials {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: string | (() => string);
}

interface TokenCredentials {
  /** RFC 7628. */
  readonly mechanism: "oauthbearer";
  /** A token that is valid for some time to come. */
  readonly token: () => Promise<string>;
}

const REQUEST_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 2_000;
/** How often it is checked whether a request has timed out: of a timeout, at most a tenth. */
const TIMEOUT_CHECK_MS = 1_000;
const KEEP_ALIVE_MS = 60_000;
const METADATA_MAX_AGE_MS = 300_000;
/** How long a client may take to leave its group and to disconnect before its connections are destroyed. */
const DISCONNECT_TIMEOUT_MS = 3_000;

/** A log that had no records at the offset that was fetched last. */
export interface EmptyFetch {
  readonly topic: string;
  readonly partition: number;
  /** The first offset that the log still has. */
  readonly start: number;
  /** One past its last offset. */
  readonly end: number;
  /** Whether nothing more can be read of it. If not, the response had no room for its records. */
  readonly isAtEnd: boolean;
}

interface ConsumerListeners {
  /** Called when a consumer crashes. kafkajs first reports that it has stopped, and only after it has disconnected, why. */
  onCrash(error: Error): void;
  /** Called for each partition whose fetch brought no records, of which kafkajs reports nothing. The next fetch waits for it. */
  onEmptyFetch(fetch: EmptyFetch): Promise<void> | undefined;
  /** Asked before each fetch: how long the broker may wait for records, in milliseconds. */
  fetchWaitMs?(): number;
  /** Calls `fetch`, at the time of its choice. @returns what kafkajs takes for its result: an empty array for no records */
  aroundFetch?<Batch>(fetch: () => Promise<readonly Batch[]>): Promise<readonly Batch[]>;
}

/** By the `eachBatch` of a consumer. */
const consumerListeners = new WeakMap<object, ConsumerListeners>();
const CORRECTED_VERSION = "2.2.4";
correctKafkajs();

/**
 * A kafkajs client with the settings that the whole kit uses, whose connections can be destroyed at once. Without
 * that, kafkajs waits for every pending response, also of a broker that hangs, and a consumer that is stopped while
 * it joins a group goes on to consume.
 */
export class KafkaClient {
  readonly kafka: Kafka;
  readonly #ssl: KafkaSettings["ssl"];
  readonly #options: KafkaConfig;
  readonly #sockets = new Set<net.Socket>();
  #destroyed = false;

  constructor(settings: KafkaSettings, log: Logger) {
    this.#ssl = settings.ssl;
    this.#options = {
      clientId: settings.clientId,
      brokers: [...settings.brokers],
      ...(settings.sasl === undefined ? {} : { sasl: authenticationOf(settings.sasl) }),
      socketFactory: (options) => this.#connect(options),
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: settings.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      // Few and short retries: the caller learns of a failure early, and retries with what it knows.
      // All fields are given, because kafkajs has other defaults where NODE_ENV is "test".
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3, factor: 0.2, multiplier: 2 },
      logLevel: logLevel.INFO,
      // kafkajs logs an error at every attempt to connect. The kit logs once that the broker is unavailable.
      logCreator: () => (entry) => {
        const { message, timestamp: _, ...fields } = entry.log;
        log.debug({ kafkajs: entry.namespace, ...fields }, message);
      },
    };
    this.kafka = new Kafka(this.#options);
  }

  /** For requests that kafkajs' clients have no method for. Its connections are destroyed with the others. */
  cluster(): Cluster {
    const { requestTimeout } = this.#options;
    return new Cluster({
      ...this.#options,
      logger: this.kafka.logger(),
      enforceRequestTimeout: true,
      authenticationTimeout: requestTimeout,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      allowAutoTopicCreation: false,
    });
  }

  /** Disconnects in good order if that takes no longer than 3 s, then destroys the connections. Never rejects. */
  async close(disconnect: () => Promise<unknown>): Promise<void> {
    await within(DISCONNECT_TIMEOUT_MS, "disconnecting", disconnect()).catch(() => {});
    this.destroy();
  }

  /** Destroys every connection and opens no new ones: pending requests and retries fail. */
  destroy(): void {
    this.#destroyed = true;
    // With an error: at a plain close kafkajs leaves its requests pending.
    for (const socket of this.#sockets) socket.destroy(new Error("the client is closed"));
  }

  #connect({ host, port, onConnect }: ISocketFactoryArgs): net.Socket {
    if (this.#destroyed) throw new Error("the client is closed");
    const socket = this.#ssl
      ? tls.connect(tlsOptions(host, port, this.#ssl), onConnect)
      : net.connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setNoDelay(true);
    unrefOnce(socket);
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }
}

/**
 * kafkajs calls `unref` at each disconnect, which every request does that waited for a connection that failed. A socket
 * that is not connected adds a listener for each call, and from the eleventh on that is reported as a leak.
 */
function unrefOnce(socket: net.Socket): void {
  const unref = socket.unref.bind(socket);
  socket.unref = () => {
    unref();
    // Only now: what is called when it connects is the function that was the method a moment ago.
    socket.unref = () => socket;
    return socket;
  };
}

function tlsOptions(host: string, port: number, ssl: true | (() => TlsCredentials)): tls.ConnectionOptions {
  return {
    host,
    port,
    // An address is verified as it is, and has no place in SNI (RFC 6066, section 3).
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ...(ssl === true ? {} : ssl()),
    minVersion: "TLSv1.2",
    // Stated, because NODE_TLS_REJECT_UNAUTHORIZED changes the default.
    rejectUnauthorized: true,
  };
}

function authenticationOf(credentials: SaslCredentials): SASLOptions | Mechanism {
  return credentials.mechanism === "oauthbearer"
    ? oauthBearer(credentials.token)
    : passwordOptions(credentials);
}

/** The options of kafkajs, which reads the password when it authenticates. */
function passwordOptions({ mechanism, username, password }: PasswordCredentials): SASLOptions {
  return {
    mechanism,
    username,
    get password() {
      return typeof password === "string" ? password : password();
    },
  };
}

/** The result of `work`. @throws when it takes longer than `limitMs` */
export async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`${what}: no response in ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reports what kafkajs does not. @param eachBatch what the consumer is run with */
export function listenTo(eachBatch: object, listeners: ConsumerListeners): void {
  consumerListeners.set(eachBatch, listeners);
}

/**
 * Corrects defects of kafkajs 2.2.4, the last release, in its prototypes and protocol:
 *
 * - After each response it sets a timer to check the queue of pending requests, also of an empty queue, and then with
 *   a negative delay, for which Bun and Node print a warning (https://github.com/tulios/kafkajs/issues/1751).
 * - Ten times a second it checks on each connection whether a request has timed out, which is most of what an idle
 *   client costs.
 * - A consumer that has joined its group and then fails to start does not leave it. The group's next rebalance would
 *   wait for that member until its session times out.
 * - It throws the first error of a Produce response, and so hides which partitions were stored. With this correction
 *   `sendBatch` resolves, unless kafkajs retries all of them, and its result has the error code of each partition.
 * - It encodes the records of a Produce request slowly: see produce.ts.
 * - A consumer that crashes reports the reason last, and nothing of a fetch without records; each of its fetches waits
 *   equally long for records, follows at once, and is waited for when the consumer stops: see `listenTo`.
 * - Of a fetch, a partition without records costs it as much as one with records.
 * - To a client that may not use its group it says that the group's coordinator was not found.
 * - A batch that cannot be decoded fails the response with all its topics: see fetch.ts.
 *
 * Producers and consumers of kafkajs that are not the kit's, in the same process, work as without the kit.
 *
 * @throws when another version is installed: whoever changes it has to check that the corrections still apply
 */
function correctKafkajs(): void {
  if (manifest.version !== CORRECTED_VERSION) {
    throw new Error(`kafkajs ${CORRECTED_VERSION} is required, ${manifest.version} is installed`);
  }
  const { scheduleCheckPendingRequests } = RequestQueue.prototype;
  RequestQueue.prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0) scheduleCheckPendingRequests.call(this);
  };
  RequestQueue.prototype.scheduleRequestTimeoutCheck = function () {
    this.destroy();
    if (!this.enforceRequestTimeout) return;
    const everyMs = Math.min(TIMEOUT_CHECK_MS, this.requestTimeout / 10);
    this.requestTimeoutIntervalId = setInterval(() => {
      const now = Date.now();
      for (const request of this.inflight.values()) {
        if (request.sentAt !== null && now - request.sentAt > request.requestTimeout)
          request.timeoutRequest();
      }
      if (!this.isConnected()) this.destroy();
    }, everyMs);
  };
  const { start } = Runner.prototype;
  Runner.prototype.start = function () {
    const { consumerGroup, onCrash } = this;
    this.onCrash = async (error) => {
      consumerListeners.get(this.eachBatch)?.onCrash(error);
      // `running` is still false if, and only if, it is `start` that failed: then `stop` leaves no group.
      if (!this.running) await consumerGroup.leave().catch(() => {});
      return onCrash(error);
    };
    return start.call(this);
  };
  const { findGroupCoordinatorMetadata } = Cluster.prototype;
  Cluster.prototype.findGroupCoordinatorMetadata = async function (request) {
    try {
      return await findGroupCoordinatorMetadata.call(this, request);
    } catch (error) {
      const refusal = await this.brokerPool.withBroker(({ broker }) =>
        broker.findGroupCoordinator(request).catch((reason: unknown) => {
          if (isGroupForbidden(reason)) return reason;
          throw reason;
        }),
      );
      throw isGroupForbidden(refusal) ? refusal : error;
    }
  };
  const { fetch: fetchOnce } = Runner.prototype;
  Runner.prototype.fetch = async function (nodeId) {
    const listeners = consumerListeners.get(this.eachBatch);
    const waitMs = listeners?.fetchWaitMs?.();
    if (waitMs !== undefined) this.consumerGroup.maxWaitTime = waitMs;
    if (listeners === undefined) return fetchOnce.call(this, nodeId);
    const fetch = () => fetchOnce.call(this, nodeId);
    const batches = await (listeners.aroundFetch?.(fetch) ?? fetch());
    const withRecords = batches.filter(({ rawMessages }) => rawMessages.length > 0);
    if (withRecords.length === batches.length) return batches;
    for (const { topic, partition, fetchedOffset, highWatermark, rawMessages } of batches) {
      const log = emptyLogOf(rawMessages);
      if (log === undefined || !this.running) continue;
      const isAtEnd = Number(fetchedOffset) >= log.readableEnd;
      const { start } = log;
      await listeners.onEmptyFetch({ topic, partition, start, end: Number(highWatermark), isAtEnd });
    }
    // With records, kafkajs does it once they are handled.
    if (withRecords.length === 0) await this.heartbeat();
    return withRecords;
  };
  const { handleBatch } = Runner.prototype;
  Runner.prototype.handleBatch = async function (batch) {
    const { topic, partition, rawMessages } = batch;
    // Of another consumer in the process, which would take the placeholder for a record.
    if (!consumerListeners.has(this.eachBatch)) {
      const undecodable = undecodableOf(rawMessages);
      if (undecodable !== undefined) {
        throw new Error(`${topic}/${partition} at offset ${undecodable.offset}: ${undecodable.cause}`);
      }
      complete(rawMessages);
    }
    return handleBatch.call(this, batch);
  };
  const { protocol } = Produce;
  Produce.protocol = (version) => {
    const create = protocol(version);
    return (options) => {
      const { request, response } = create(options);
      if (!isOwnRequest(options)) return { request, response };
      request.encode = async () => {
        if (version.version < OWN_PRODUCE_VERSION) throw new Error("the broker is older than Kafka 0.11");
        return encodeProduceRequest(options, Date.now());
      };
      const parse: typeof response.parse = async (decoded) => {
        const codes = decoded.topics.flatMap(({ partitions }) =>
          partitions.map(({ errorCode }) => errorCode),
        );
        // Nothing was stored: kafkajs retries by itself, with new metadata.
        const isRetried = codes.every((code) => code !== 0 && errorOfCode(code).retriable);
        return isRetried ? response.parse(decoded) : decoded;
      };
      return { request, response: { ...response, parse } };
    };
  };
  for (const version of FETCH_VERSIONS) {
    const { response } = fetch.protocol({ version })({ topics: [] });
    response.decode = async (body) => decodeFetchResponse(version, body);
  }
}

function isGroupForbidden(reason: unknown): reason is Error {
  return reason instanceof Error && "type" in reason && reason.type === "GROUP_AUTHORIZATION_FAILED";
}
