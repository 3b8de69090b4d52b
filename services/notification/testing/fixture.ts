import { allMessages, allTopics, tokenClaims } from "@distributed-messaging/contracts";
import {
  type DataOf,
  deadLetterTopic,
  encode,
  type MessageDefinition,
  Messaging,
  message,
  migrate,
  openDatabase,
  Rebuild,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import {
  generateSigningKey,
  issueToken,
  type Role,
  type SigningKey,
  TokenVerifier,
} from "@distributed-messaging/service/identity";
import { serveForTest, type TestServer } from "@distributed-messaging/service/testing";
import { notificationHandlers } from "../handlers.ts";
import { notificationRoutes } from "../http.ts";
import { migrations } from "../migrations/index.ts";
import { Push } from "../push.ts";
import { NotificationStore, projections } from "../store.ts";

/** What ends with the process; the database and the broker outlive it. */
interface Running {
  readonly messaging: Messaging;
  readonly store: NotificationStore;
  readonly rebuild: Rebuild;
  readonly server: TestServer;
}

/** A notification service in this process, with its routes at a port. */
export class NotificationFixture implements AsyncDisposable {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("notification")], systemRuntime);
  readonly #key: SigningKey;
  #running: Running | undefined;

  static async start(): Promise<NotificationFixture> {
    return new NotificationFixture(await generateSigningKey()).#start();
  }

  private constructor(key: SigningKey) {
    this.#key = key;
    migrate(this.database, "notification", migrations);
  }

  get running(): Running {
    if (this.#running === undefined) throw new Error("the service does not run");
    return this.#running;
  }

  /** Stops the process and starts the next one on the same database. */
  async restart(): Promise<void> {
    await this.#stop();
    await this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    this.database.close();
  }

  tokenOf(customerId: string, role: Role = "customer"): Promise<string> {
    const { privateJwk, keyId } = this.#key;
    return issueToken(privateJwk, { ...tokenClaims, keyId, customerId, role, now: Date.now(), ttlS: 3600 });
  }

  /** Publishes an event of the order service. */
  async publish<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
  ): Promise<void> {
    const id = Bun.randomUUIDv7();
    const time = new Date().toISOString();
    const origin = { id, source: definition.source, time, correlationid: id, causationid: id };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
  }

  async #start(): Promise<this> {
    const { database, broker } = this;
    const store = new NotificationStore(database);
    const push = new Push((customerId, after, limit) => store.after(customerId, after, limit));
    const handlers = notificationHandlers(store, (customerId) => push.notify(customerId));
    const shared = {
      service: "notification",
      database,
      definitions: allMessages,
      handlers,
      runtime: systemRuntime,
    };
    const messaging = new Messaging({
      ...shared,
      transport: broker,
      deadLetterTopic: deadLetterTopic("notification").name,
      log: silentLogger,
    });
    messaging.start();
    const { unitOfWork } = messaging;
    const rebuild = new Rebuild({
      ...shared,
      unitOfWork,
      subscriber: broker,
      tables: projections,
      log: silentLogger,
    });
    rebuild.resume();
    const keys = (keyId: string) => (keyId === this.#key.keyId ? this.#key.publicJwk : undefined);
    const server = await serveForTest((app) => app.use(notificationRoutes(store, push, keys)));
    this.#running = { messaging, store, rebuild, server };
    return this;
  }

  async #stop(): Promise<void> {
    const { server, rebuild, messaging } = this.running;
    await server[Symbol.asyncDispose]();
    await rebuild.stop();
    await messaging.stop();
  }
}
