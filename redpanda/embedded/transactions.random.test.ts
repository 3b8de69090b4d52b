/**
 * Random producers with transactions, fencing, compaction and restarts, compared with a model: what each transaction wrote
 * is visible to read_committed in all partitions or in none, in the order of the log.
 */
import { afterEach, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Broker } from "./broker.ts";
import { ErrorCode } from "./errors.ts";
import { RawClient } from "./testing/raw-client.ts";
import { cleanAll, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { committedOffset, readCommitted, TransactionalClient } from "./testing/transactional-client.ts";

afterEach(cleanAll);

const PARTITIONS = 3;
const PRODUCERS = 4;
const ROUNDS = process.env.SLOW_TESTS === "true" ? 20 : 2;
const STEPS = 60;

/** The records of one partition in the order of the log, each with its transaction. */
interface Written {
  readonly value: string;
  readonly transaction: OpenTransaction;
}

interface OpenTransaction {
  outcome: "open" | "commit" | "abort";
  offset: number | undefined;
}

function randomFrom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

class Model {
  readonly partitions: Written[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly open = new Map<TransactionalClient, OpenTransaction>();
  committedOffset = -1;

  openOf(producer: TransactionalClient): OpenTransaction {
    const transaction = this.open.get(producer) ?? { outcome: "open", offset: undefined };
    this.open.set(producer, transaction);
    return transaction;
  }

  end(producer: TransactionalClient, outcome: "commit" | "abort"): void {
    const transaction = this.open.get(producer);
    if (!transaction) return;
    transaction.outcome = outcome;
    if (outcome === "commit") this.committedOffset = transaction.offset ?? this.committedOffset;
    this.open.delete(producer);
  }

  /** What read_committed sees: everything before the first record of an open transaction. */
  visible(partition: number): string[] {
    const all = this.partitions[partition] ?? [];
    const unstable = all.findIndex(({ transaction }) => transaction.outcome === "open");
    const stable = unstable < 0 ? all : all.slice(0, unstable);
    return stable.filter(({ transaction }) => transaction.outcome === "commit").map(({ value }) => value);
  }
}

test.each(Array.from({ length: ROUNDS }, (_, round) => round + 1))(
  "random transactions (seed %d)",
  async (seed) => {
    const random = randomFrom(seed);
    const dataDir = await temporaryDirectory();
    const model = new Model();
    let broker: Broker = await temporaryBroker({ dataDir });
    // Every key is written once, so compaction removes only what was aborted, and markers.
    await broker.topics.create("t", PARTITIONS, {
      "segment.bytes": "400",
      "cleanup.policy": "compact",
      "min.cleanable.dirty.ratio": "0",
      "delete.retention.ms": "0",
    });
    const start = (index: number) => TransactionalClient.start(broker, `x${index}`);
    const producers = await Promise.all(Array.from({ length: PRODUCERS }, (_, index) => start(index)));
    let reader = await RawClient.connect(broker);
    const check = async () => {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const maxBytes = [100, 500, 2 ** 20][random(3)] ?? 100;
        const seen = await readCommitted(reader, "t", { partition, maxBytes });
        expect(seen).toEqual(model.visible(partition));
      }
      const isPending = [...model.open.values()].some(({ offset }) => offset !== undefined);
      const { code, offset } = await committedOffset(reader, "g", "t");
      if (isPending) expect(code).toBe(ErrorCode.UNSTABLE_OFFSET_COMMIT);
      else expect([code, offset]).toEqual([ErrorCode.NONE, model.committedOffset]);
    };
    const replace = async (index: number) => {
      const fenced = producers[index];
      producers[index] = await start(index);
      if (!fenced) return;
      model.end(fenced, "abort");
      // What the previous one still does has no effect.
      expect(await fenced.end("commit")).toBe(ErrorCode.PRODUCER_FENCED);
      expect((await fenced.produce("t", 0, ["zombie"])).code).toBe(ErrorCode.INVALID_PRODUCER_EPOCH);
    };
    const restart = async () => {
      await broker.stop();
      // Without it, the logs are read.
      if (random(2) === 0) await rm(join(dataDir, "clean-stop"));
      broker = await temporaryBroker({ dataDir });
      reader = await RawClient.connect(broker);
      for (const [index, before] of producers.entries()) {
        model.end(before, "abort");
        producers[index] = await start(index);
      }
    };
    for (let step = 0; step < STEPS; step++) {
      const index = random(PRODUCERS);
      const producer = producers[index];
      if (!producer) continue;
      const action = random(22);
      if (action < 11) {
        const partition = random(PARTITIONS);
        const value = `${seed}.${step}`;
        await producer.write("t", partition, [value]);
        model.partitions[partition]?.push({ value, transaction: model.openOf(producer) });
      } else if (action < 13) {
        expect(await producer.addOffsets("g")).toBe(ErrorCode.NONE);
        expect(await producer.commitOffset("g", "t", step)).toBe(ErrorCode.NONE);
        model.openOf(producer).offset = step;
      } else if (action < 17) {
        const outcome = random(3) === 0 ? "abort" : "commit";
        const isOpen = model.open.has(producer);
        model.end(producer, outcome);
        const code = await producer.end(outcome);
        if (isOpen) expect(code).toBe(ErrorCode.NONE);
      } else if (action < 18) {
        await replace(index);
      } else if (action < 19) {
        await check();
      } else if (action < 20) {
        await restart();
      } else {
        await broker.cleaner.run();
      }
    }
    await check();
    for (let index = 0; index < PRODUCERS; index++) await replace(index);
    await check();
    await restart();
    await check();
    for (const log of broker.topics.resolve({ name: "t", id: null }).partitions) {
      expect(log.lastStableOffset).toBe(log.highWatermark);
    }
  },
  60_000,
);
