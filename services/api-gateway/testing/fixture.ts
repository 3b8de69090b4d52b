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
import type { Role } from "@distributed-messaging/service/identity";
import { serveForTest, type TestServer } from "@distributed-messaging/service/testing";
import { gatewayHandlers } from "../handlers.ts";
import { gatewayRoutes } from "../http.ts";
import { migrations } from "../migrations/index.ts";
import { Sessions } from "../sessions.ts";
import { GatewayStore, projections } from "../store.ts";

/** What ends with the process; the database and the broker outlive it. */
interface Running {
  readonly messaging: Messaging;
  readonly store: GatewayStore;
  readonly sessions: Sessions;
  readonly rebuild: Rebuild;
  readonly server: TestServer;
}

/** A gateway in this process, with its routes at a port and a broker that can be made unavailable. */
export class GatewayFixture implements AsyncDisposable {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("api-gateway")], systemRuntime);
  isBrokerDown = false;
  #running: Running | undefined;

  static async start(): Promise<GatewayFixture> {
    const gateway = new GatewayFixture();
    migrate(gateway.database, "api-gateway", migrations);
    gateway.#running = await gateway.#start();
    return gateway;
  }

  get running(): Running {
    if (this.#running === undefined) throw new Error("the gateway does not run");
    return this.#running;
  }

  get store(): GatewayStore {
    return this.running.store;
  }

  /** Stops the process and starts the next one on the same database. */
  async restart(): Promise<void> {
    await this.#stop();
    this.#running = await this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    this.database.close();
  }

  async signIn(customerId: string, role: Role = "customer"): Promise<Client> {
    const { token } = await this.running.sessions.signIn(customerId, role, Date.now());
    return new Client(this, token);
  }

  /** Publishes a message of another service. @returns its id */
  async publish<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
    { cause, at = Date.now() }: { readonly cause?: string; readonly at?: number } = {},
  ): Promise<string> {
    const id = Bun.randomUUIDv7();
    const origin = {
      id,
      source: definition.source,
      time: new Date(at).toISOString(),
      correlationid: id,
      causationid: cause ?? id,
    };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
    return id;
  }

  /** How many messages of a type the gateway has emitted, sent or not. */
  emitted({ type, topic }: MessageDefinition): number {
    const unsent = this.database.sql
      .query<{ value: Uint8Array }, [string]>("SELECT value FROM outbox WHERE topic = ?")
      .all(topic.name);
    const ids = [...unsent, ...this.broker.records(topic.name)]
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as { id: string; type: string })
      .filter((emitted) => emitted.type === type)
      .map(({ id }) => id);
    // A message is in both until its acknowledgement is stored.
    return new Set(ids).size;
  }

  async #start(): Promise<Running> {
    const { database } = this;
    const store = new GatewayStore(database);
    const common = {
      service: "api-gateway",
      database,
      definitions: allMessages,
      handlers: gatewayHandlers(store),
      runtime: systemRuntime,
      log: silentLogger,
    };
    const messaging = new Messaging({
      ...common,
      transport: {
        publish: async (records) => {
          if (this.isBrokerDown) throw new Error("the broker is down");
          await this.broker.publish(records);
        },
        subscribe: (options) => this.broker.subscribe(options),
      },
      deadLetterTopic: deadLetterTopic("api-gateway").name,
    });
    messaging.start();
    const { unitOfWork } = messaging;
    const sessions = await Sessions.open(database, unitOfWork);
    const rebuild = new Rebuild({ ...common, unitOfWork, subscriber: this.broker, tables: projections });
    rebuild.resume();
    const server = await serveForTest((app) =>
      app
        .use(rebuildRoutes(rebuild, sessions.verifier))
        .use(gatewayRoutes({ store, sessions, messaging, demoSignIn: true, outboxLimit: 100 })),
    );
    return { messaging, store, sessions, rebuild, server };
  }

  async #stop(): Promise<void> {
    const { server, rebuild, messaging } = this.running;
    await server[Symbol.asyncDispose]();
    await rebuild.stop();
    await messaging.stop();
  }
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly replayed: boolean;
}

/** A signed-in customer. */
export class Client {
  readonly #gateway: GatewayFixture;
  readonly #token: string;

  constructor(gateway: GatewayFixture, token: string) {
    this.#gateway = gateway;
    this.#token = token;
  }

  get(path: string): Promise<Answer> {
    return this.#request("GET", path);
  }

  /** @param key an Idempotency-Key */
  post(path: string, body?: object, key?: string): Promise<Answer> {
    return this.#request("POST", path, body, key);
  }

  place(orderId: string, quantity = 1, key?: string): Promise<Answer> {
    return this.post("/orders", { orderId, items: [{ productId: "CUP", quantity }] }, key);
  }

  cancel(orderId: string, key?: string): Promise<Answer> {
    return this.post(`/orders/${orderId}/cancel`, undefined, key);
  }

  restock(quantity: number, key?: string, productId = "CUP"): Promise<Answer> {
    return this.post(`/products/${productId}/restock`, { quantity }, key);
  }

  async #request(method: string, path: string, body?: object, key?: string): Promise<Answer> {
    const response = await fetch(this.#gateway.running.server.url + path, {
      method,
      keepalive: false,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      body: (await response.json()) as Record<string, unknown>,
      replayed: response.headers.get("idempotent-replayed") === "true",
    };
  }
}
