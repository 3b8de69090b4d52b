/** A crash leaves each transaction either committed in every partition, with its offsets, or aborted in every one. */
import { afterEach, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode } from "./errors.ts";
import { BrokerProcess } from "./testing/process.ts";
import { RawClient } from "./testing/raw-client.ts";
import { createTopic } from "./testing/requests.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { committedOffset, readCommitted, TransactionalClient } from "./testing/transactional-client.ts";

afterEach(cleanAll);

const PRODUCERS = 4;
const ROUNDS = 6;
const isSlow = process.env.SLOW_TESTS === "true";
/** Acknowledged transactions of a producer before the broker is killed. */
const ENOUGH = 15;

test.each(["commit", "abort"] as const)(
  "a crash before any step of a %s leaves it whole or undone",
  async (outcome) => {
    const dataDir = await temporaryDirectory();
    const broker = await temporaryBroker({ dataDir });
    await broker.topics.create("t", 2, {});
    const producer = await TransactionalClient.start(broker, "x");
    await producer.write("t", 0, ["a"]);
    await producer.write("t", 1, ["b"]);
    await producer.addOffsets("g");
    await producer.commitOffset("g", "t", 5);
    const copies: string[] = [];
    const folder = await temporaryDirectory();
    const copy = () => {
      const to = join(folder, String(copies.length));
      cpSync(dataDir, to, { recursive: true });
      copies.push(to);
    };
    broker.disk.fault = copy;
    expect(await producer.end(outcome)).toBe(ErrorCode.NONE);
    broker.disk.fault = undefined;
    copy();
    const results: unknown[] = [];
    for (const copied of copies) {
      const restarted = await temporaryBroker({ dataDir: copied });
      // Aborts what is not decided.
      await TransactionalClient.start(restarted, "x");
      const reader = await RawClient.connect(restarted);
      const values = [await readCommitted(reader, "t"), await readCommitted(reader, "t", { partition: 1 })];
      const { offset, code } = await committedOffset(reader, "g", "t");
      expect(code).toBe(ErrorCode.NONE);
      results.push([...values, offset]);
      await restarted.stop();
    }
    const undone = [[], [], -1];
    const committed = [["a"], ["b"], 5];
    const decided = outcome === "commit" ? results.filter((result) => Bun.deepEquals(result, committed)) : [];
    // Once decided, always decided.
    const expected = results.map((_, index) =>
      index < results.length - decided.length ? undone : committed,
    );
    expect(results).toEqual(expected);
    expect(decided.length > 0).toBe(outcome === "commit");
    // The write of the journal and of two markers, each with its sync.
    expect(copies.length).toBeGreaterThanOrEqual(7);
  },
);

test.skipIf(!isSlow)(
  "after kill -9 every acknowledged transaction is whole, and no other is half",
  async () => {
    const dataDir = await temporaryDirectory();
    let broker = await BrokerProcess.start(dataDir);
    const { port } = broker;
    await createTopic(await RawClient.connect({ port }), "t", { partitions: 2 });
    const acknowledged = Array.from({ length: PRODUCERS }, (): string[] => []);
    let first = 1;
    for (let round = 0; round < ROUNDS; round++) {
      const enough = Promise.withResolvers<void>();
      const running = acknowledged.map((values, index) =>
        transactUntilCut(port, index, first, values, enough.resolve),
      );
      await enough.promise;
      await broker.end("SIGKILL");
      first = Math.max(...(await Promise.all(running)));
      broker = await BrokerProcess.start(dataDir, port);
    }
    expect(acknowledged.flat().length).toBeGreaterThanOrEqual(ENOUGH * ROUNDS);
    for (let index = 0; index < PRODUCERS; index++) await TransactionalClient.start({ port }, `x${index}`);
    const reader = await RawClient.connect({ port });
    const [left, right] = [
      await readCommitted(reader, "t"),
      await readCommitted(reader, "t", { partition: 1 }),
    ];
    expect([...left].sort()).toEqual([...right].sort());
    for (const [index, values] of acknowledged.entries()) {
      const own = left.filter((value) => value.startsWith(`${index}:`));
      expect(values.filter((value) => !own.includes(value))).toEqual([]);
      expect(own).toEqual([...new Set(own)]);
      const { offset, code } = await committedOffset(reader, `g${index}`, "t");
      expect([code, `${index}:${offset}`]).toEqual([ErrorCode.NONE, own.at(-1) ?? ""]);
    }
    await broker.end("SIGTERM");
  },
  120_000,
);

/**
 * Commits one transaction after the other until the connection is cut.
 * @returns the number after the last one that it tried
 */
async function transactUntilCut(
  port: number,
  index: number,
  first: number,
  acknowledged: string[],
  enough: () => void,
): Promise<number> {
  let number = first;
  let open = true;
  cleanUp(() => {
    open = false;
  });
  try {
    const producer = await TransactionalClient.start({ port }, `x${index}`);
    for (; open; number++) {
      const value = `${index}:${number}`;
      await producer.write("t", 0, [value]);
      await producer.write("t", 1, [value]);
      await producer.addOffsets(`g${index}`);
      await producer.commitOffset(`g${index}`, "t", number);
      if ((await producer.end("commit")) !== ErrorCode.NONE) throw new Error("not committed");
      acknowledged.push(value);
      if (number >= first + ENOUGH) enough();
    }
  } catch {
    // The broker was killed.
  } finally {
    enough();
  }
  return number + 1;
}
