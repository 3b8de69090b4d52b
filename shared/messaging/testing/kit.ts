import { Type } from "@sinclair/typebox";
import { closed, define, type MessageDefinition, type Topic } from "../contract/define.ts";
import { encode, type Message, message } from "../contract/envelope.ts";
import { openDatabase, type ServiceDatabase } from "../database.ts";
import { type Handler, on } from "../inbox/inbox.ts";
import { Messaging, type MessagingOptions } from "../messaging.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import { MemoryBroker } from "../transport/memory.ts";
import type { Transaction } from "../unit-of-work.ts";

/** Topics and messages of the tests. */
export const letters: Topic = { name: "letters", key: "name", partitions: 3, config: {} };
const answers: Topic = { name: "answers", key: "name", partitions: 3, config: {} };
export const parked: Topic = { name: "reader.dead-letters", key: "any", partitions: 1, config: {} };

const data = Type.Object({ name: Type.String(), text: Type.String() }, closed);
export const Letter = define({
  type: "test.letter.v1",
  kind: "event",
  source: "reader",
  topic: letters,
  key: "name",
  data,
});
export const Answer = define({
  type: "test.answer.v1",
  kind: "event",
  source: "reader",
  topic: answers,
  key: "name",
  data,
});
export const definitions: readonly MessageDefinition[] = [Letter, Answer];

/** A letter. */
export function letter(name: string, text: string, id: string = Bun.randomUUIDv7()): Message {
  const origin = { id, source: "reader", time: new Date().toISOString(), correlationid: id, causationid: id };
  return message(Letter, { name, text }, origin);
}

type LetterHandler = (letter: { name: string; text: string }, transaction: Transaction) => void;

/** A service with a database in memory. The database lives longer than the kit, which stands for a process. */
export class TestService {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker: MemoryBroker;
  kit: Messaging;
  readonly #options: Partial<MessagingOptions>;

  constructor(
    handle?: LetterHandler,
    options: Partial<MessagingOptions> = {},
    topics: readonly Topic[] = [],
  ) {
    this.broker = new MemoryBroker([letters, answers, parked, ...topics], systemRuntime);
    this.database.sql.run(
      "CREATE TABLE effects (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, text TEXT)",
    );
    const handlers: Handler[] = [
      on(Letter, ({ data: letter }, transaction) => {
        this.database.sql.run("INSERT INTO effects (name, text) VALUES (?, ?)", [letter.name, letter.text]);
        handle?.(letter, transaction);
      }),
    ];
    this.#options = { handlers, transport: this.broker, ...options };
    this.kit = this.#build();
  }

  /** Stops the process cleanly and starts the next one. */
  async restart(): Promise<void> {
    await this.kit.stop();
    this.kit = this.#build();
    this.kit.start();
  }

  /** Starts the next process as if this one had been killed. */
  async crash(): Promise<void> {
    await this.kit.stop();
    this.database.sql.run("UPDATE process SET running = 1");
    this.kit = this.#build();
    this.kit.start();
  }

  /** The letters that took effect, as `name:text`, in that order. */
  applied(name?: string): string[] {
    return this.database.sql
      .query<{ name: string; text: string }, []>("SELECT name, text FROM effects ORDER BY seq")
      .all()
      .filter((row) => name === undefined || row.name === name)
      .map((row) => `${row.name}:${row.text}`);
  }

  /** Emits a letter. */
  send(name: string, text: string): Promise<void> {
    return this.kit.unitOfWork.run((transaction) => {
      transaction.emit(Letter, { name, text });
    });
  }

  /** Publishes letters, past the outbox. */
  publish(...messages: readonly Message[]): Promise<void> {
    return this.broker.publish(messages.map((envelope) => encode(Letter, envelope)));
  }

  async stop(): Promise<void> {
    await this.kit.stop();
    this.database.close();
  }

  #build(): Messaging {
    return new Messaging({
      service: "reader",
      database: this.database,
      transport: this.broker,
      definitions,
      handlers: [],
      deadLetterTopic: parked.name,
      runtime: systemRuntime,
      log: silentLogger,
      ...this.#options,
    });
  }
}
