import { allMessages, allTopics } from "@distributed-messaging/contracts";
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
} from "@distributed-messaging/service/identity/auth";
import { serveForTest, type TestServer } from "@distributed-messaging/service/testing";
import { notificationHandlers } from "../handlers.ts";
import { notificationRoutes } from "../http.ts";
import { migrations } from "../migrations/index.ts";
import { Push } from "../push.ts";
import { NotificationStore } from "../store.ts";

interface Life {
  readonly messaging: Messaging;
  readonly store: NotificationStore;
  readonly rebuild: Rebuild;
  readonly server: TestServer;
}

/** A notification service in this process, with its routes at a port. */
export class TestNotifications implements AsyncDisposable {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("notification")], systemRuntime);
  readonly #key: SigningKey;
  #life: Life | undefined;

  static async start(): Promise<TestNotifications> {
    return new TestNotifications(await generateSigningKey()).#started();
  }

  private constructor(key: SigningKey) {
    this.#key = key;
    migrate(this.database, "notification", migrations);
  }

  get life(): Life {
    if (this.#life === undefined) throw new Error("it does not run");
    return this.#life;
  }

  /** Ends this process and begins the next one on the same database. */
  async restart(): Promise<void> {
    await this.#end();
    await this.#started();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    this.database.close();
  }

  tokenOf(customerId: string, role: Role = "customer"): Promise<string> {
    const { privateJwk, keyId } = this.#key;
    return issueToken(privateJwk, { keyId, customerId, role, now: Date.now(), ttlS: 3600 });
  }

  /** Emits a message of the order service. */
  async tell<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
  ): Promise<void> {
    const id = Bun.randomUUIDv7();
    const time = new Date().toISOString();
    const origin = { id, source: "order", time, correlationid: id, causationid: id };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
  }

  async #started(): Promise<this> {
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
      tables: ["notifications"],
      log: silentLogger,
    });
    rebuild.resume();
    const keys = (keyId: string) => (keyId === this.#key.keyId ? this.#key.publicJwk : undefined);
    const server = await serveForTest((app) => app.use(notificationRoutes(store, push, keys)));
    this.#life = { messaging, store, rebuild, server };
    return this;
  }

  async #end(): Promise<void> {
    const { server, rebuild, messaging } = this.life;
    await server[Symbol.asyncDispose]();
    await rebuild.stop();
    await messaging.stop();
  }
}
