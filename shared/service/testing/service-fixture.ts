import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type DataOf,
  deadLetterTopic,
  encode,
  type Logger,
  type Message,
  type MessageDefinition,
  message,
  migrate,
  openDatabase,
  type Publisher,
  type Rebuild,
  type Runtime,
  type ServiceDatabase,
  type Subscriber,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { AnyElysia } from "elysia";
import { deadLetterRoutes } from "../admin/dead-letters.ts";
import { effectRoutes } from "../admin/effects.ts";
import { outboxRoutes } from "../admin/outbox.ts";
import { partitionRoutes } from "../admin/partitions.ts";
import { rebuildRoutes } from "../admin/rebuild.ts";
import { assemble, type Composition } from "../composition.ts";
import { type CommonConfig, type Environment, loadConfig } from "../config.ts";
import { replaceFile } from "../files.ts";
import { issueToken, type Role } from "../identity.ts";
import { ensureOperatorKey } from "../operator.ts";
import type { Running } from "../run.ts";
import { generateSigningKey, type SigningKey } from "../signing-key.ts";
import { captureLogger, serveForTest, type TestServer } from "./http.ts";

interface FixtureOptions<Config extends CommonConfig, Parts> {
  /** Settings that differ from their defaults. */
  readonly env?: Environment;
  /** As for `runService`; they are served at a free port. */
  readonly routes?: (running: Running<Config, Parts>) => AnyElysia;
}

/** How a message came about, where a test depends on it. */
interface Circumstances {
  readonly cause?: string;
  readonly correlation?: string;
  readonly at?: number;
  /** How often the broker delivers it. */
  readonly times?: number;
}

/** A service in this process. Its database and its broker are in memory and outlive its restarts. */
export class ServiceFixture<Config extends CommonConfig, Parts> implements AsyncDisposable {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker: MemoryBroker;
  /** Has the keys that the service trusts. */
  readonly dataDir = mkdtempSync(join(tmpdir(), "service-"));
  /** Milliseconds that the service's clock is ahead. */
  aheadMs = 0;
  isBrokerDown = false;
  /** What the service has logged, over its restarts. */
  readonly lines: string[];
  readonly #log: Logger;
  readonly #composition: Composition<Config, Parts>;
  readonly #options: FixtureOptions<Config, Parts>;
  readonly #runtime: Runtime = { ...systemRuntime, now: () => Date.now() + this.aheadMs };
  #running: Running<Config, Parts> | undefined;
  #server: TestServer | undefined;
  #key: SigningKey | undefined;

  constructor(composition: Composition<Config, Parts>, options: FixtureOptions<Config, Parts> = {}) {
    this.#composition = composition;
    this.#options = options;
    ({ log: this.#log, lines: this.lines } = captureLogger(composition.name, "warn"));
    const topics = new Map(composition.messages.map(({ topic }) => [topic.name, topic]));
    this.broker = new MemoryBroker([...topics.values(), deadLetterTopic(composition.name)], systemRuntime);
    migrate(this.database, composition.name, composition.migrations);
  }

  get running(): Running<Config, Parts> {
    if (this.#running === undefined) throw new Error(`${this.#composition.name} is not running`);
    return this.#running;
  }

  get parts(): Parts {
    return this.running.parts;
  }

  get rebuild(): Rebuild {
    const { rebuild } = this.running;
    if (rebuild === undefined) throw new Error(`${this.#composition.name} has no projections`);
    return rebuild;
  }

  /** Where the routes are served. */
  get url(): string {
    if (this.#server === undefined) throw new Error(`${this.#composition.name} serves nothing`);
    return this.#server.url;
  }

  async start(): Promise<this> {
    const { routes } = this.#options;
    const env = { DATA_DIR: this.dataDir, ...this.#options.env };
    this.#key ??= await generateSigningKey();
    const { keyId, publicJwk } = this.#key;
    replaceFile(
      join(this.dataDir, "jwks.json"),
      JSON.stringify({ keys: [{ ...publicJwk, kid: keyId }] }),
      0o600,
    );
    await ensureOperatorKey(join(this.dataDir, "operator.jwk"));
    const config: Config = loadConfig(this.#composition.config, env, this.#composition.name);
    const service = assemble(this.#composition, config, {
      database: this.database,
      connect: () => this.#connection(),
      runtime: this.#runtime,
      log: this.#log,
    });
    const running = { ...service, config, log: this.#log };
    const { messaging, rebuild, verifier } = running;
    this.#running = running;
    messaging.start();
    rebuild?.resume();
    running.retention?.start();
    await running.started?.(messaging.unitOfWork);
    if (routes !== undefined) {
      this.#server = await serveForTest((app) => {
        app.use(routes(running));
        app.use(deadLetterRoutes(messaging.deadLetterAdmin, verifier));
        app.use(partitionRoutes(messaging, verifier));
        app.use(outboxRoutes(messaging.outboxAdmin, verifier));
        app.use(effectRoutes(messaging.effectAdmin, verifier));
        if (rebuild !== undefined) app.use(rebuildRoutes(rebuild, verifier, this.#log));
      });
    }
    return this;
  }

  async stop(): Promise<void> {
    const running = this.#running;
    const server = this.#server;
    this.#running = undefined;
    this.#server = undefined;
    await server?.[Symbol.asyncDispose]();
    await running?.retention?.stop();
    await running?.rebuild?.stop();
    await running?.messaging.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.database.close();
    rmSync(this.dataDir, { recursive: true });
  }

  /** A token that the service accepts for an hour; once it has started. */
  token(
    claims: { readonly issuer: string; readonly audience: string },
    customerId: string,
    role: Role = "customer",
  ): Promise<string> {
    if (this.#key === undefined) throw new Error(`${this.#composition.name} has not started`);
    const { keyId, privateJwk } = this.#key;
    return issueToken(privateJwk, { ...claims, keyId, customerId, role, now: Date.now(), ttlS: 3600 });
  }

  /** Publishes a message of another service, from the source that its definition names. @returns its id */
  async publish<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
    { cause, correlation, at = Date.now(), times = 1 }: Circumstances = {},
  ): Promise<string> {
    const id = Bun.randomUUIDv7();
    const origin = {
      id,
      source: definition.source,
      time: new Date(at).toISOString(),
      correlationid: correlation ?? id,
      causationid: cause ?? id,
    };
    const record = encode(definition, message(definition, data, origin));
    await this.broker.publish(Array.from({ length: times }, () => record));
    return id;
  }

  /** Publishes a message of another service and waits until each delivery is handled, skipped or parked. */
  async handle<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
    circumstances: Circumstances = {},
  ): Promise<void> {
    const { counts } = this.running.messaging.consumer;
    const seen = () => counts.handled + counts.duplicate + counts.skipped + counts.parked;
    const before = seen();
    await this.publish(definition, data, circumstances);
    await eventually(
      () => seen() >= before + (circumstances.times ?? 1),
      `${definition.type} is not handled`,
    );
  }

  /** The messages of a definition that the service has emitted, sent or not, oldest first. */
  emitted<Definition extends MessageDefinition>({
    type,
    topic,
  }: Definition): Message<string, DataOf<Definition>>[] {
    const unsent = this.database.sql
      .query<{ value: Uint8Array }, [string]>("SELECT value FROM outbox WHERE topic = ? ORDER BY seq")
      .all(topic.name);
    const all = [...this.broker.records(topic.name), ...unsent]
      // Everything on the broker was encoded from its definition.
      .map(
        ({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Message<string, DataOf<Definition>>,
      )
      .filter((emitted) => emitted.type === type && emitted.source.split("/")[0] === this.#composition.name);
    // A message is in both until its acknowledgement is stored.
    return [...new Map(all.map((emitted) => [emitted.id, emitted])).values()].sort((one, other) =>
      one.id < other.id ? -1 : 1,
    );
  }

  #connection(): Publisher & Subscriber {
    return {
      publish: async (records) => {
        if (this.isBrokerDown) throw new Error("the broker is down");
        await this.broker.publish(records);
      },
      subscribe: (options) => this.broker.subscribe(options),
    };
  }
}
