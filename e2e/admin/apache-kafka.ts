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

const hasJavaCompiler = Bun.which("javac") !== null;
if (!hasJavaCompiler)
  console.warn("a Java compiler (javac) is not installed: the tests with Java programs are skipped");

/** What a program of this folder prints. */
async function runJava(program: string, ...args: string[]): Promise<string> {
  const { java, classPath } = await provideApacheKafka();
  const command = [java, "-cp", classPath, join(import.meta.dir, `${program}.java`), ...args];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  try {
    return await new Response(child.stdout).text();
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

test.skipIf(!hasJavaCompiler)(
  "the Java client says that the embedded broker has no groups of KIP-848, and does not wait",
  async () => {
    await using broker = await startBroker({ host: "127.0.0.1", topics: [{ name: "t" }] });
    const output = await runJava("NewProtocolConsumer", broker.brokers.join(), "t");
    expect(output).toContain("UnsupportedVersionException");
    expect(output).toContain("Set group.protocol=classic");
  },
);

test.skipIf(!hasJavaCompiler)(
  "the Java administrator gets the same answers from the embedded broker as from Apache Kafka",
  async () => {
    await using broker = await startBroker({ host: "127.0.0.1" });
    const [embedded, apache] = await Promise.all([
      runJava("Administrator", broker.brokers.join()),
      runJava("Administrator", kafka.brokers.join()),
    ]);
    expect(apache.split("\n")).toContain("retention.ms: 1234 DYNAMIC_TOPIC_CONFIG LONG not default");
    expect(apache).toContain("\ndirectory: ");
    expect(embedded).toBe(apache);
  },
);
