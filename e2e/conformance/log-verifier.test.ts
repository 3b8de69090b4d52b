import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient, KafkaInspector, LogVerifier } from "@distributed-messaging/messaging/kafka";

/* What cannot be read of a broker whose files are damaged. Each batch has ten records, each segment two batches. */

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

class Fixture {
  readonly dataDir = mkdtempSync(join(tmpdir(), "verifier-"));
  broker: Broker | undefined;

  static async open(config: Record<string, string> = {}): Promise<Fixture> {
    const fixture = new Fixture();
    cleanups.push(
      () => rmSync(fixture.dataDir, { recursive: true, force: true }),
      () => fixture.broker?.stop(),
    );
    const settings = { "segment.bytes": "400", ...config };
    const topics = [{ name: "whole" }, { name: "things", config: settings }];
    fixture.broker = await startBroker({ host: "127.0.0.1", dataDir: fixture.dataDir, topics });
    const producer = new KafkaClient(fixture.settings, silentLogger).kafka.producer();
    await producer.connect();
    for (const topic of ["whole", "things"]) {
      for (let batch = 0; batch < 10; batch++) {
        const messages = Array.from({ length: 10 }, (_, index) => ({ key: `${index}`, value: `${batch}` }));
        await producer.send({ topic, messages });
      }
    }
    await producer.disconnect();
    return fixture;
  }

  get settings() {
    return { brokers: this.broker?.brokers ?? [], clientId: "test" };
  }

  async stop(): Promise<void> {
    await this.broker?.stop();
  }

  async start(): Promise<void> {
    this.broker = await startBroker({ host: "127.0.0.1", dataDir: this.dataDir });
  }

  /** Of the topic `things`, the oldest first. */
  files(): string[] {
    const topics = join(this.dataDir, "topics");
    const partition = join(topics, readdirSync(topics).find((name) => name.startsWith("things.")) ?? "", "0");
    const names = readdirSync(partition).filter((name) => name.endsWith(".log"));
    return names.sort().map((name) => join(partition, name));
  }

  /** Changes one byte. @param at from the end, if it is negative */
  damage(file: number, at: number): void {
    const path = this.files().at(file) ?? "";
    const bytes = readFileSync(path);
    const position = (at + bytes.length) % bytes.length;
    bytes.writeUInt8(bytes.readUInt8(position) ^ 1, position);
    writeFileSync(path, bytes);
  }

  async found(): Promise<{ known: string[]; unreadable: string[] }> {
    const inspector = new KafkaInspector(this.settings, "all", "all", silentLogger);
    const verifier = new LogVerifier(this.settings, silentLogger);
    try {
      const topics = await inspector.topics();
      const known = await verifier.knownDamage(topics);
      const unreadable: string[] = [];
      for await (const { topic, partition, from, to } of verifier.unreadable(topics)) {
        unreadable.push(`${topic}/${partition} ${from}..${to ?? "?"}`);
      }
      return { known: known.map(({ topic, partition }) => `${topic}/${partition}`), unreadable };
    } finally {
      await Promise.all([inspector.close(), verifier.close()]);
    }
  }
}

test("of whole logs, nothing", async () => {
  const fixture = await Fixture.open();
  expect(await fixture.found()).toEqual({ known: [], unreadable: [] });
});

test("offsets that compaction removed are not damage; a damaged batch between them is", async () => {
  const fixture = await Fixture.open({ "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0" });
  await fixture.broker?.cleaner.run();
  expect(await fixture.found()).toEqual({ known: [], unreadable: [] });
  await fixture.stop();
  fixture.damage(0, -1);
  await fixture.start();
  const { known, unreadable } = await fixture.found();
  expect(known).toEqual(["things/0"]);
  expect(unreadable).toHaveLength(1);
});

test("batches and an end that are damaged when the broker starts, which it knows of", async () => {
  const fixture = await Fixture.open();
  await fixture.stop();
  expect(fixture.files()).toHaveLength(5);
  fixture.damage(1, 100);
  fixture.damage(3, -1);
  fixture.damage(-1, -1);
  await fixture.start();
  expect(await fixture.found()).toEqual({
    known: ["things/0"],
    unreadable: ["things/0 20..29", "things/0 70..79", "things/0 90..99"],
  });
});

test("an end that is damaged when the broker does not know where it was", async () => {
  const fixture = await Fixture.open();
  await fixture.stop();
  writeFileSync(join(fixture.dataDir, "clean-stop"), "");
  fixture.damage(-1, -1);
  await fixture.start();
  expect(await fixture.found()).toEqual({ known: ["things/0"], unreadable: ["things/0 90..?"] });
});

test("a batch that is damaged while the broker runs, by its checksum", async () => {
  const fixture = await Fixture.open();
  fixture.damage(0, 100);
  fixture.damage(-1, -1);
  expect(await fixture.found()).toEqual({
    known: [],
    unreadable: ["things/0 0..9", "things/0 90..99"],
  });
});
