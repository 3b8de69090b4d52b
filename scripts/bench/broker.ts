import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient } from "@distributed-messaging/messaging/kafka";
import { startApacheKafka, USUAL_JAVA_FLAGS } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { ApacheKafkaMissing, provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { measure } from "./broker/load.ts";
import { embeddedProcess, measureStartUp } from "./broker/start-up.ts";
import { type Comparison, compare, type Figure } from "./comparison.ts";

const TOPIC = "bench";
const PARTITIONS = 6;
const LOADS = [
  { what: "1 connection, 1 record a request", connections: 1, records: 1 },
  { what: "32 connections, 1 record a request", connections: 32, records: 1 },
  { what: "32 connections, 100 records a request", connections: 32, records: 100 },
] as const;
const EMBEDDED = "embedded";

type Report = (line: string) => void;
/** Starts a broker on this port. @returns stops it and removes its data */
type Start = (port: number) => Promise<() => Promise<void>>;

interface BrokerLengths {
  /** Of each load, after a warm-up of the same time. */
  readonly seconds: number;
  /** Of 100 bytes, that are stored when the embedded broker starts; with 0, its start is not measured. */
  readonly records: number;
}

/**
 * The embedded broker, which syncs before it answers, beside Apache Kafka that does so too, and that does not, as by
 * default: records of 100 bytes with acks=all to one broker after the other, each a process of its own. Without Java or
 * Maven, the embedded broker alone.
 */
export async function measureBrokers(
  { seconds, records }: BrokerLengths,
  rounds: number,
  report: Report,
): Promise<Comparison[]> {
  const brokers = await startable(report);
  return compare([...brokers.keys()], rounds, report, async (name) => {
    const start = brokers.get(name);
    const figures = start === undefined ? [] : await measureLoads(start, seconds * 1_000);
    if (name !== EMBEDDED || records === 0) return figures;
    const { afterCleanStop, afterKill } = await measureStartUp(records, createTopic, report);
    const section = `Start of the embedded broker with ${records.toLocaleString("en")} records`;
    return [
      ...figures,
      { section, name: "after a clean stop", unit: "ms", value: afterCleanStop },
      { section, name: "after a kill -9", unit: "ms", value: afterKill },
    ];
  });
}

async function startable(report: Report): Promise<Map<string, Start>> {
  const embedded: Start = async (port) => {
    const { process: broker, dispose } = embeddedProcess(port, report);
    await broker.start();
    return dispose;
  };
  const apacheKafka =
    (settings: Record<string, string>): Start =>
    async (port) => {
      const [controller = 0] = freePorts(1);
      const ports = { broker: port, controller };
      const kafka = await startApacheKafka({ ports, settings, javaFlags: USUAL_JAVA_FLAGS });
      return () => kafka.stop();
    };
  try {
    await provideApacheKafka(report);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    report(`left out: Apache Kafka: ${error.message}`);
    return new Map([[EMBEDDED, embedded]]);
  }
  return new Map([
    [EMBEDDED, embedded],
    ["Apache Kafka that syncs", apacheKafka({ "log.flush.interval.messages": "1" })],
    ["Apache Kafka by default", apacheKafka({})],
  ]);
}

async function measureLoads(start: Start, durationMs: number): Promise<Figure[]> {
  const [port = 0] = freePorts(1);
  const stop = await start(port);
  try {
    await createTopic(port, TOPIC, PARTITIONS);
    const figures: Figure[] = [];
    for (const { what, connections, records } of LOADS) {
      const load = { port, topic: TOPIC, partitions: PARTITIONS, connections, records, durationMs };
      await measure(load);
      const measured = await measure(load);
      const section = `Broker: ${what}`;
      figures.push({ section, name: "records", unit: "a second", value: measured.records });
      figures.push({ section, name: "response, p50", unit: "ms", value: measured.median });
      figures.push({ section, name: "response, p99", unit: "ms", value: measured.p99 });
    }
    return figures;
  } finally {
    await stop();
  }
}

const KNOWN_ATTEMPTS = 200;
const KNOWN_PAUSE_MS = 50;

function isKnown(admin: ReturnType<KafkaClient["kafka"]["admin"]>, topic: string): Promise<boolean> {
  return admin.fetchTopicMetadata({ topics: [topic] }).then(
    ({ topics }) => topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0)),
    () => false,
  );
}

async function createTopic(port: number, topic: string, numPartitions: number): Promise<void> {
  const { kafka } = new KafkaClient({ brokers: [`127.0.0.1:${port}`], clientId: "bench" }, silentLogger);
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
  // Not by `waitForLeaders`: there kafkajs fails when the broker does not know the topic yet.
  for (let attempt = 1; !(await isKnown(admin, topic)); attempt += 1) {
    if (attempt === KNOWN_ATTEMPTS) throw new Error(`the broker does not know ${topic}`);
    await Bun.sleep(KNOWN_PAUSE_MS);
  }
  await admin.disconnect();
}
