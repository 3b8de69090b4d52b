import { expect } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { Kafka, logLevel } from "kafkajs";
import { StoreSettings } from "../testing/store-process.ts";

/* What is damaged, and how, is tested in e2e/conformance/log-verifier.test.ts. */

slowTest("says which partition is damaged and, with --verify, where", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "topics-"));
  const topics = [{ name: "things", config: { "segment.bytes": "14" } }];
  let broker = await startBroker({ host: "127.0.0.1", dataDir, topics });
  const store = new StoreSettings();
  try {
    const producer = new Kafka({ brokers: broker.brokers, logLevel: logLevel.NOTHING }).producer();
    await producer.connect();
    for (const value of ["a", "b", "c"]) await producer.send({ topic: "things", messages: [{ value }] });
    await producer.disconnect();
    await broker.stop();
    const folder = join(dataDir, "topics", readdirSync(join(dataDir, "topics"))[0] ?? "", "0");
    const segment = join(folder, readdirSync(folder).sort()[1] ?? "");
    const bytes = readFileSync(segment);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    writeFileSync(segment, bytes);
    broker = await startBroker({ host: "127.0.0.1", dataDir });
    const run = (...args: string[]) =>
      store.run("topics.ts", args, { KAFKA_BROKERS: broker.brokers.join(",") });
    const [plain, verified] = await Promise.all([run(), run("--verify")]);
    expect(plain).toMatchObject({ stderr: "", exitCode: 1 });
    expect(plain.stdout).toMatch(/^TOPIC +RECORDS +PARTITIONS\nthings +3 +0\.\.3\n/);
    expect(plain.stdout).toEndWith("\nDAMAGED: things/0. To see the offsets: bun run topics -- --verify\n");
    const byPort = await store.run("topics.ts", [], { BROKER_PORT: String(broker.port) });
    expect(byPort).toEqual(plain);
    expect(verified).toMatchObject({ stderr: "", exitCode: 1 });
    expect(verified.stdout).toEndWith("\n\nDAMAGED  PARTITION  OFFSETS\nthings   0          1..1\n");
  } finally {
    await broker.stop();
    store.remove();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
