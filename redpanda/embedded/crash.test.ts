/** Durability, tested with `kill -9` of a process under load. */
import { afterEach, expect, test } from "bun:test";
import { recordsOf } from "./log/records.ts";
import { batchesIn } from "./testing/batches.ts";
import { adminFor, kafkaFor } from "./testing/kafkajs.ts";
import { BrokerProcess } from "./testing/process.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

const SENDERS = 4;
const ROUNDS = 3;

test("after kill -9 every acknowledged record is present, once, in order", async () => {
  const dataDir = await temporaryDirectory();
  let broker = await BrokerProcess.start(dataDir);
  const { port } = broker;
  await (await adminFor(kafkaFor({ port }))).createTopics({ topics: [{ topic: "t", numPartitions: 2 }] });
  const acknowledged = Array.from({ length: SENDERS }, (): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const enough = Promise.withResolvers<void>();
    const senders = acknowledged.map((numbers, sender) =>
      sendUntilCut(port, sender, numbers, enough.resolve),
    );
    await enough.promise;
    await broker.end("SIGKILL");
    await Promise.all(senders);
    broker = await BrokerProcess.start(dataDir, port);
  }
  await broker.end("SIGKILL");
  const stored = await readAll(`${dataDir}/broker`);
  for (const [sender, numbers] of acknowledged.entries()) {
    expect(numbers.length).toBeGreaterThan(ROUNDS);
    const found = stored
      .filter((text) => text.startsWith(`${sender}:`))
      .map((text) => Number(text.split(":")[1]));
    // Strictly increasing: in order, without duplicates. A record that was stored but not acknowledged may be among them.
    expect(found.every((number, index) => index === 0 || number > (found[index - 1] ?? -1))).toBe(true);
    expect(numbers.filter((number) => !found.includes(number))).toEqual([]);
  }
}, 60_000);

/** Sends numbers one by one to one partition, without retries, until the connection breaks. */
async function sendUntilCut(
  port: number,
  sender: number,
  acknowledged: number[],
  enough: () => void,
): Promise<void> {
  const producer = kafkaFor({ port }).producer({
    retry: { retries: 0 },
    createPartitioner: () => () => sender % 2,
  });
  cleanUp(() => producer.disconnect());
  const from = (acknowledged.at(-1) ?? 0) + 1;
  // An unacknowledged number is not sent again, so a duplicate would be the broker's fault.
  const first = from + 1000;
  try {
    await producer.connect();
    for (let number = first; ; number++) {
      await producer.send({ topic: "t", acks: -1, messages: [{ value: `${sender}:${number}` }] });
      acknowledged.push(number);
      if (number === first + 50) enough();
    }
  } catch {
    // The broker was killed.
  }
}

async function readAll(dataDir: string): Promise<string[]> {
  const broker = await temporaryBroker({ dataDir });
  const texts: string[] = [];
  for (const log of broker.topics.resolve({ name: "t", id: null }).partitions) {
    for (let offset = 0; offset < log.highWatermark; ) {
      for (const batch of batchesIn(await log.read(offset, 2 ** 20, true))) {
        texts.push(...(recordsOf(batch) ?? []).map(({ value }) => String(value)));
        offset = batch.lastOffset + 1;
      }
    }
  }
  return texts;
}
