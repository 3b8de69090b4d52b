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
import { rebuildRoutes } from "@distributed-messaging/service/admin/rebuild";
import type { Role } from "@distributed-messaging/service/identity/auth";
import { serveForTest, type TestServer } from "@distributed-messaging/service/testing";
import { Catalogue } from "../catalogue.ts";
import { gatewayHandlers } from "../handlers.ts";
import { gatewayRoutes } from "../http.ts";
import { migrations } from "../migrations/index.ts";
import { Sessions } from "../sessions.ts";
import { OrderViews } from "../store.ts";
import { copies } from "../tables.ts";

/** A message that somebody else emits: what it says, who says it, and because of what. */
export interface Says<Definition extends MessageDefinition> {
  readonly definition: Definition;
  readonly data: DataOf<Definition>;
  readonly source: string;
  readonly cause?: string;
  readonly at?: number;
}

interface Life {
  readonly messaging: Messaging;
  readonly views: OrderViews;
  readonly catalogue: Catalogue;
  readonly sessions: Sessions;
  readonly rebuild: Rebuild;
  readonly server: TestServer;
}

/** A gateway in this process, with its routes at a port and a broker that can be told to be away. */
export class TestGateway implements AsyncDisposable {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("api-gateway")], systemRuntime);
  isBrokerAway = false;
  #life: Life | undefined;

  static async start(): Promise<TestGateway> {
    const gateway = new TestGateway();
    migrate(gateway.database, "api-gateway", migrations);
    gateway.#life = await gateway.#begin();
    return gateway;
  }

  get life(): Life {
    if (this.#life === undefined) throw new Error("it does not run");
    return this.#life;
  }

  /** Ends this process and begins the next one on the same database. */
  async restart(): Promise<void> {
    await this.#end();
    this.#life = await this.#begin();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    this.database.close();
  }

  async tokenOf(customerId: string, role: Role = "customer"): Promise<string> {
    return (await this.life.sessions.signIn(customerId, role, Date.now())).token;
  }

  /** Emits a message of another service. @returns its id */
  async tell<Definition extends MessageDefinition>(says: Says<Definition>): Promise<string> {
    const { definition, data, source, at = Date.now() } = says;
    const id = Bun.randomUUIDv7();
    const origin = {
      id,
      source,
      time: new Date(at).toISOString(),
      correlationid: id,
      causationid: says.cause ?? id,
    };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
    return id;
  }

  /** How many messages of a kind the gateway has emitted, sent or not. */
  emitted({ type, topic }: MessageDefinition): number {
    const { sql } = this.database;
    const waiting = sql
      .query<{ value: Uint8Array }, [string]>("SELECT value FROM outbox WHERE topic = ?")
      .all(topic.name);
    const ids = [...waiting, ...this.broker.records(topic.name)]
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as { id: string; type: string })
      .filter((emitted) => emitted.type === type)
      .map(({ id }) => id);
    // One that is sent waits until the broker's answer is written down.
    return new Set(ids).size;
  }

  async #begin(): Promise<Life> {
    const { database } = this;
    const views = new OrderViews(database);
    const catalogue = new Catalogue(database);
    const handlers = gatewayHandlers(views, catalogue);
    const messaging = new Messaging({
      service: "api-gateway",
      database,
      transport: {
        publish: async (records) => {
          if (this.isBrokerAway) throw new Error("the broker is away");
          await this.broker.publish(records);
        },
        subscribe: (options) => this.broker.subscribe(options),
      },
      definitions: allMessages,
      handlers,
      deadLetterTopic: deadLetterTopic("api-gateway").name,
      runtime: systemRuntime,
      log: silentLogger,
    });
    messaging.start();
    const sessions = await Sessions.open(database, messaging.unitOfWork);
    const rebuild = new Rebuild({
      service: "api-gateway",
      database,
      unitOfWork: messaging.unitOfWork,
      subscriber: this.broker,
      definitions: allMessages,
      handlers,
      tables: copies,
      runtime: systemRuntime,
      log: silentLogger,
    });
    rebuild.resume();
    const server = await serveForTest((app) =>
      app
        .use(rebuildRoutes(rebuild, sessions.keys))
        .use(gatewayRoutes({ views, catalogue, sessions, messaging, demoSignIn: true, outboxLimit: 100 })),
    );
    return { messaging, views, catalogue, sessions, rebuild, server };
  }

  async #end(): Promise<void> {
    const { server, rebuild, messaging } = this.life;
    await server[Symbol.asyncDispose]();
    await rebuild.stop();
    await messaging.stop();
  }
}
