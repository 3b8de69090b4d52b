import type { Consumer } from "kafkajs";
import type { Logger } from "../../runtime.ts";
import { topicPartition } from "../transport.ts";

interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

/** How far a group is, for the broker to show: the kit itself never reads it. */
export class KafkaCommits {
  readonly #consumer: Consumer;
  readonly #log: Logger;
  readonly #waiting = new Map<string, Position>();
  #sending: Promise<void> | undefined;

  constructor(consumer: Consumer, log: Logger) {
    this.#consumer = consumer;
    this.#log = log;
  }

  /** @param offset of the record to be handled next */
  add(topic: string, partition: number, offset: number): void {
    this.#waiting.set(topicPartition(topic, partition), { topic, partition, offset: String(offset) });
  }

  /** What belonged to an earlier assignment is no longer this member's to say. */
  forget(): void {
    this.#waiting.clear();
  }

  /** Tells the broker what it has not been told. Never rejects; one at a time. */
  async send(): Promise<void> {
    await this.#sending;
    const positions = [...this.#waiting.values()];
    if (positions.length === 0) return;
    this.#waiting.clear();
    this.#sending = this.#commit(positions).finally(() => {
      this.#sending = undefined;
    });
    await this.#sending;
  }

  async #commit(positions: Position[]): Promise<void> {
    try {
      await this.#consumer.commitOffsets(positions);
    } catch (error) {
      this.#log.debug({ err: error }, "the broker was not told how far the group is");
    }
  }
}
