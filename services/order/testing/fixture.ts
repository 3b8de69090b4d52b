import { allMessages, allTopics } from "@distributed-messaging/contracts";
import {
  type DataOf,
  deadLetterTopic,
  encode,
  type Message,
  type MessageDefinition,
  Messaging,
  message,
  migrate,
  openDatabase,
  type Runtime,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { orderHandlers, orderTimers } from "../handlers.ts";
import { migrations } from "../migrations/index.ts";
import { OrderStore } from "../store.ts";

export const BACKORDER_TTL_MS = 60_000;

/** An order service in this process, with a clock that can be advanced. */
export class OrderFixture {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("order")], systemRuntime);
  /** Milliseconds that its clock is ahead. */
  aheadMs = 0;
  store: OrderStore;
  messaging: Messaging;
  readonly #runtime: Runtime = { ...systemRuntime, now: () => Date.now() + this.aheadMs };

  constructor() {
    migrate(this.database, "order", migrations);
    this.store = new OrderStore(this.database);
    this.messaging = this.start();
  }

  /** Starts the process, again after `stop`. */
  start(): Messaging {
    this.store = new OrderStore(this.database);
    this.messaging = new Messaging({
      service: "order",
      database: this.database,
      transport: this.broker,
      definitions: allMessages,
      handlers: orderHandlers(this.store, BACKORDER_TTL_MS),
      timers: orderTimers(this.store, BACKORDER_TTL_MS),
      deadLetterTopic: deadLetterTopic("order").name,
      runtime: this.#runtime,
      log: silentLogger,
    });
    this.messaging.start();
    return this.messaging;
  }

  async close(): Promise<void> {
    await this.messaging.stop();
    this.database.close();
  }

  async publish<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
    correlationid = "trace",
  ): Promise<void> {
    const id = Bun.randomUUIDv7();
    const time = new Date().toISOString();
    const origin = { id, source: definition.source, time, correlationid, causationid: id };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
  }

  /** The messages of a type that it has sent. */
  sent({ type, topic }: MessageDefinition): Message[] {
    return this.broker
      .records(topic.name)
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Message)
      .filter((sent) => sent.type === type);
  }
}
