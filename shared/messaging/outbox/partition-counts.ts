import type { ServiceDatabase } from "../database.ts";
import { ALL_PARTITIONS, type PartitionStops } from "../inbox/partition-stops.ts";
import {
  type OutgoingRecord,
  PublishError,
  type Publisher,
  type PublishFailure,
} from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";

/**
 * Publishes to the topics whose number of partitions is the one with which they were written before. The partition of
 * a key follows from that number: with another one, later messages of a key could be read before earlier ones. The
 * records of such a topic wait until an operator accepts the new number, once the readers have handled what was sent.
 */
export class PartitionCounts implements Publisher {
  readonly #options;
  readonly #statements;
  /** Topics that have been found unchanged since the process started. */
  readonly #unchanged = new Set<string>();

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly stops: PartitionStops;
    readonly unitOfWork: UnitOfWork;
    readonly publisher: Publisher;
    /** The number of partitions in the topic's definition; undefined where it is not known, and is not checked. */
    definedCount(topic: string): number | undefined;
  }) {
    this.#options = options;
    const { sql } = options.database;
    this.#statements = {
      get: sql.prepare<{ partitions: number }, [string]>(
        "SELECT partitions FROM topic_partitions WHERE topic = ?",
      ),
      set: sql.prepare(
        `INSERT INTO topic_partitions (topic, partitions) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET partitions = excluded.partitions`,
      ),
    };
    options.stops.onDecision("partitions-changed", ({ topic }, action) => {
      const count = options.definedCount(topic);
      if (action === "accept" && count !== undefined) this.#statements.set.run(topic, count);
    });
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    const failures = new Map<OutgoingRecord, PublishFailure>();
    for (const [topic, ofTopic] of Map.groupBy(records, (record) => record.topic)) {
      const error = await this.#changed(topic);
      if (error === undefined) continue;
      for (const record of ofTopic) failures.set(record, { scope: "held", error });
    }
    const others = records.filter((record) => !failures.has(record));
    try {
      if (others.length > 0) await this.#options.publisher.publish(others);
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      for (const [record, failure] of error.failures) failures.set(record, failure);
    }
    if (failures.size > 0) throw new PublishError(failures);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  /** @returns why the topic is not written, if its number of partitions has changed */
  async #changed(topic: string): Promise<string | undefined> {
    const { stops, unitOfWork, definedCount } = this.#options;
    const count = definedCount(topic);
    if (count === undefined || this.#unchanged.has(topic)) return undefined;
    const error = await unitOfWork.run((transaction) => {
      const before = this.#statements.get.get(topic)?.partitions;
      if (before === undefined) this.#statements.set.run(topic, count);
      if (before === undefined || before === count) {
        stops.reverted(topic, ALL_PARTITIONS, transaction);
        return undefined;
      }
      const text = `it was written with ${before} partitions and has ${count} now`;
      const place = { topic, partition: ALL_PARTITIONS, offset: before, nextOffset: count };
      stops.stop({ ...place, reason: "partitions-changed", error: text, bytes: null }, transaction);
      return text;
    });
    if (error === undefined) this.#unchanged.add(topic);
    return error;
  }
}
