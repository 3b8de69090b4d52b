import type { ServiceDatabase } from "../database.ts";
import { topicPartition } from "../transport/transport.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";

/** Where a message stands in the log, or stood before it was parked. */
interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/**
 * Finds the message that ends its process without an exception: it exhausts the memory, or crashes native code. After
 * an unclean stop messages are handled one at a time, and each is recorded before. A record of an earlier process that
 * is still there belongs to a message during which that process ended.
 */
export class CrashGuard {
  /** Whether the last process on this file did not stop cleanly. Only then anything is recorded. */
  readonly afterCrash: boolean;
  readonly #unitOfWork: UnitOfWork;
  /** What this process has recorded, with the crashes before: a message that is retried is recorded once. */
  readonly #begun = new Map<string, number>();
  readonly #statements;

  constructor({ sql }: ServiceDatabase, unitOfWork: UnitOfWork) {
    this.#unitOfWork = unitOfWork;
    this.#statements = {
      running: sql.prepare("UPDATE process SET running = ?"),
      count: sql.prepare<{ count: number }, [string, number, number]>(
        "SELECT count FROM attempts WHERE topic = ? AND partition = ? AND offset = ?",
      ),
      begin: sql.prepare(
        `INSERT INTO attempts (topic, partition, offset, count) VALUES (?, ?, ?, 1)
         ON CONFLICT DO UPDATE SET count = count + 1`,
      ),
      end: sql.prepare("DELETE FROM attempts WHERE topic = ? AND partition = ? AND offset = ?"),
      reset: sql.prepare("DELETE FROM attempts WHERE topic = ? AND partition = ?"),
    };
    this.afterCrash = sql.query<{ running: number }, []>("SELECT running FROM process").get()?.running === 1;
  }

  /** Records that a process works on the file, or that it has stopped cleanly. */
  setRunning(running: boolean): void {
    this.#statements.running.run(running ? 1 : 0);
  }

  /**
   * Records, in a transaction of its own, that a message is about to be handled.
   *
   * @returns how many earlier processes ended while they handled it
   */
  async begin(place: Place): Promise<number> {
    const { topic, partition, offset } = place;
    const name = nameOf(place);
    if (!this.afterCrash) return 0;
    const known = this.#begun.get(name);
    if (known !== undefined) return known;
    const crashes = await this.#unitOfWork.run(() => {
      const { count = 0 } = this.#statements.count.get(topic, partition, offset) ?? {};
      this.#statements.begin.run(topic, partition, offset);
      return count;
    });
    this.#begun.set(name, crashes);
    return crashes;
  }

  /** Removes the record of a message: in the transaction that handles or parks it. */
  end(place: Place, transaction: Transaction): void {
    if (!this.afterCrash) return;
    this.#statements.end.run(place.topic, place.partition, place.offset);
    transaction.afterCommit(() => this.#begun.delete(nameOf(place)));
  }

  /** The offsets of the partition name other messages from now on. */
  reset(topic: string, partition: number): void {
    this.#statements.reset.run(topic, partition);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}

function nameOf({ topic, partition, offset }: Place): string {
  return `${topicPartition(topic, partition)}/${offset}`;
}
