import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient, KafkaInspector, LogVerifier } from "@distributed-messaging/messaging/kafka";
import { type ApacheKafka, startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { compareConfigs } from "./configs.ts";
import { compareOffsetDeletions } from "./offsets.ts";
import { compareDescriptions } from "./topics.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

const [port = 0, controller = 0] = freePorts(2);
let kafka: ApacheKafka;
beforeAll(async () => {
  kafka = await startApacheKafka({ ports: { broker: port, controller } });
});
afterAll(() => kafka?.stop());

test("Apache Kafka answers to changes of configurations as the table says", () => compareConfigs(port));

test("Apache Kafka answers to deletions of offsets as the table says", () => compareOffsetDeletions(port));

test("Apache Kafka describes logs and partitions as expected", () => compareDescriptions(port));

test("no record of a whole log of Apache Kafka is taken for damaged", async () => {
  const settings = { brokers: kafka.brokers, clientId: "test" };
  const client = new KafkaClient(settings, silentLogger);
  const admin = client.kafka.admin();
  await admin.createTopics({ topics: [{ topic: "verified" }], waitForLeaders: true });
  await admin.disconnect();
  const producer = client.kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: 1_000 }, (_, index) => ({ value: `${index}` }));
  for (let batch = 0; batch < 5; batch++) await producer.send({ topic: "verified", messages });
  await producer.disconnect();
  const inspector = new KafkaInspector(settings, "all", [], silentLogger);
  const verifier = new LogVerifier(settings, silentLogger);
  const topics = await inspector.topics();
  expect(topics.find(({ name }) => name === "verified")?.partitions).toMatchObject([{ latest: 5_000 }]);
  expect(await verifier.knownDamage(topics)).toEqual([]);
  for await (const range of verifier.unreadable(topics)) expect(range).toBeUndefined();
  await Promise.all([inspector.close(), verifier.close()]);
});

test.skipIf(Bun.which("javac") === null)(
  "the Java client says that the embedded broker has no groups of KIP-848, and does not wait",
  async () => {
    const { java, classPath } = await provideApacheKafka();
    await using broker = await startBroker({ host: "127.0.0.1", topics: [{ name: "t" }] });
    const source = join(import.meta.dir, "NewProtocolConsumer.java");
    const child = Bun.spawn([java, "-cp", classPath, source, broker.brokers.join(), "t"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    try {
      const output = await new Response(child.stdout).text();
      expect(output).toContain("UnsupportedVersionException");
      expect(output).toContain("Set group.protocol=classic");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  },
);
