import { Type } from "@sinclair/typebox";
import type { Topic } from "../contract/define.ts";
import { closed, define, type MessageDefinition } from "../contract/define.ts";
import { openDatabase, type ServiceDatabase } from "../database.ts";
import { type Handler, on } from "../inbox/handlers.ts";
import { Messaging, type MessagingOptions } from "../messaging.ts";
import { silentLogger, systemRuntime } from "../runtime.ts";
import type { Transaction } from "../transaction.ts";
import { MemoryBroker } from "../transport/memory.ts";

/** A topic and a message of the tests' own: the kit knows no store. */
export const letters: Topic = { name: "letters", key: "name", partitions: 3, config: {} };
export const answers: Topic = { name: "answers", key: "name", partitions: 3, config: {} };
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

export type LetterHandler = (letter: { name: string; text: string }, transaction: Transaction) => void;

/** A service with a database in memory, which outlives the kit that works on it. */
export class TestService {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker: MemoryBroker;
  kit: Messaging;
  readonly #options: Partial<MessagingOptions>;

  constructor(handle?: LetterHandler, options: Partial<MessagingOptions> = {}) {
    this.broker = new MemoryBroker([letters, answers, parked], systemRuntime);
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

  /** Ends this process in good order and begins the next one on the same database. */
  async restart(): Promise<void> {
    await this.kit.stop();
    this.kit = this.#build();
    this.kit.start();
  }

  /** Begins the next process as if this one had been killed: nothing of it is stopped in good order. */
  async crash(): Promise<void> {
    await this.kit.stop();
    this.database.sql.run("UPDATE process SET running = 1");
    this.kit = this.#build();
    this.kit.start();
  }

  /** What took effect and is committed, as `name:text`. */
  applied(name?: string): string[] {
    return this.database.sql
      .query<{ name: string; text: string }, []>("SELECT name, text FROM effects ORDER BY seq")
      .all()
      .filter((row) => name === undefined || row.name === name)
      .map((row) => `${row.name}:${row.text}`);
  }

  /** Emits a letter as the service itself would. */
  send(name: string, text: string): Promise<void> {
    return this.kit.unitOfWork.run((transaction) => {
      transaction.emit(Letter, { name, text });
    });
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
