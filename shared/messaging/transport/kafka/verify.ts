import type { Logger } from "../../runtime.ts";
import type { KafkaSettings } from "./client.ts";
import { errorOfCode } from "./errors.ts";
import type { PartitionState, TopicState } from "./inspector.ts";
import { EARLIEST, endOfValid, NONE, OFFSET_OUT_OF_RANGE, RawLogs } from "./raw-logs.ts";

/** Offsets of a partition that cannot be read. */
export interface UnreadableRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** The last one; undefined when it is not known where the log ends. */
  readonly to: number | undefined;
}

/** https://kafka.apache.org/protocol#protocol_error_codes */
const CORRUPT_MESSAGE = 2;

/** No record has it: what a lookup finds is damage, or nothing. */
const AFTER_EVERY_TIMESTAMP = "9223372036854775807";

/** Finds records that cannot be read, with requests that every Kafka-protocol broker answers. It changes nothing. */
export class LogVerifier {
  readonly #logs: RawLogs;
  #connected: Promise<void> | undefined;

  constructor(settings: KafkaSettings, log: Logger) {
    this.#logs = new RawLogs(settings, log);
  }

  /**
   * The partitions with damage that their broker knows of, without records being sent: a lookup by time is answered with
   * CORRUPT_MESSAGE then. The embedded broker knows all that there was at its start: it verifies then what it has not
   * verified yet. Others may know of none.
   */
  async knownDamage(topics: readonly TopicState[]): Promise<{ topic: string; partition: number }[]> {
    await this.#connect(topics);
    const lookups = topics.flatMap(({ name, partitions }) =>
      partitions.map(async ({ partition }) => {
        const { code } = await this.#logs.lookUp(name, partition, AFTER_EVERY_TIMESTAMP);
        if (code !== NONE && code !== CORRUPT_MESSAGE) throw errorOfCode(code);
        return code === CORRUPT_MESSAGE ? [{ topic: name, partition }] : [];
      }),
    );
    return (await Promise.all(lookups)).flat();
  }

  /**
   * Reads everything that the partitions have, and verifies the checksum of every batch. Of several damaged places
   * next to each other, what is between them may be part of the range.
   */
  async *unreadable(topics: readonly TopicState[]): AsyncGenerator<UnreadableRange> {
    await this.#connect(topics);
    for (const { name, partitions } of topics) {
      for (const state of partitions) yield* this.#unreadableOf(name, state);
    }
  }

  async close(): Promise<void> {
    await this.#logs.close();
  }

  #connect(topics: readonly TopicState[]): Promise<void> {
    this.#connected ??= this.#logs.connect(topics.map(({ name }) => name));
    return this.#connected;
  }

  async *#unreadableOf(topic: string, { partition, earliest, latest }: PartitionState) {
    let offset = earliest;
    while (offset < latest) {
      const next = await this.#read(topic, partition, offset);
      if (next !== undefined) {
        offset = next;
        continue;
      }
      const end = await this.#readableFrom(topic, partition, offset, latest);
      yield { topic, partition, from: offset, to: end === undefined ? undefined : end - 1 };
      if (end === undefined) return;
      offset = end;
    }
    // The end of a log may be damaged in a way that hides where it is.
    if ((await this.#read(topic, partition, latest)) === undefined) {
      yield { topic, partition, from: latest, to: undefined };
    }
  }

  /** The first offset after the damage at `offset`, found by halving; undefined when it reaches beyond the end. */
  async #readableFrom(
    topic: string,
    partition: number,
    offset: number,
    latest: number,
  ): Promise<number | undefined> {
    let damaged = offset;
    let step = 1;
    while (damaged + step < latest && (await this.#read(topic, partition, damaged + step)) === undefined) {
      damaged += step;
      step *= 2;
    }
    let readable = Math.min(damaged + step, latest);
    if (readable === latest && (await this.#read(topic, partition, latest)) === undefined) return undefined;
    while (readable - damaged > 1) {
      const middle = Math.floor((damaged + readable) / 2);
      if ((await this.#read(topic, partition, middle)) === undefined) damaged = middle;
      else readable = middle;
    }
    return readable;
  }

  /** The offset after the valid batches at `offset`; undefined when what is there cannot be read. */
  async #read(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const { code, latest, records } = await this.#logs.fetch(topic, partition, offset);
    if (code === CORRUPT_MESSAGE) return undefined;
    if (code === OFFSET_OUT_OF_RANGE) {
      // Retention has removed it since.
      const { code: failure, offset: earliest } = await this.#logs.lookUp(topic, partition, EARLIEST);
      if (failure !== NONE) throw errorOfCode(failure);
      if (earliest > offset) return earliest;
    }
    if (code !== NONE) throw errorOfCode(code);
    if (records.length === 0) return Math.max(offset, latest);
    return endOfValid(records, offset);
  }
}
