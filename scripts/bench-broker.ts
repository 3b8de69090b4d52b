import { cpus, loadavg } from "node:os";
import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient } from "@distributed-messaging/messaging/kafka";
import { startApacheKafka, USUAL_JAVA_FLAGS } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { ApacheKafkaMissing, provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { type Measured, measure } from "./bench-broker/load.ts";
import { embeddedProcess, measureStartUp } from "./bench-broker/start-up.ts";
import { wholeNumber } from "./command/admin.ts";
import { parseOptions, runCommand, table } from "./command/command.ts";

const USAGE = `usage: bun run bench-broker [options]

Measures records a second and the time from a request to its response: of the embedded broker, which syncs before it
answers; of Apache Kafka with log.flush.interval.messages=1, which does so too; and of Apache Kafka with its defaults,
which does not sync. The same client sends records of 100 bytes with acks=all to one broker after the other, each a process
of its own. Without Java or Maven, Apache Kafka is left out. Then it measures how long the embedded broker takes to start.
Compare figures of one run only: they vary with what else the machine does.

  --seconds N   how long each load runs, after a warm-up of the same time (5)
  --rounds N    how often each broker is measured, in turn; the best figures are shown (1)
  --records N   how many records are stored when the embedded broker starts (5000000); 0 leaves this out`;

const TOPIC = "bench";
const PARTITIONS = 6;
const LOADS = [
  { what: "1 connection, 1 record a request", connections: 1, records: 1 },
  { what: "32 connections, 1 record a request", connections: 32, records: 1 },
  { what: "32 connections, 100 records a request", connections: 32, records: 100 },
] as const;

interface Contestant {
  readonly name: string;
  /** Starts the broker on this port. @returns stops it and removes its data */
  readonly start: (port: number) => Promise<() => Promise<void>>;
}

const embedded: Contestant = {
  name: "embedded broker, syncs",
  async start(port) {
    const { process: broker, dispose } = embeddedProcess(port, say);
    await broker.start();
    return dispose;
  },
};

function apacheKafka(name: string, settings: Record<string, string>): Contestant {
  return {
    name,
    async start(port) {
      const [controller = 0] = freePorts(1);
      const ports = { broker: port, controller };
      const kafka = await startApacheKafka({ ports, settings, javaFlags: USUAL_JAVA_FLAGS });
      return () => kafka.stop();
    },
  };
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function contestants(): Promise<Contestant[]> {
  try {
    await provideApacheKafka(say);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    say(`left out: Apache Kafka: ${error.message}`);
    return [embedded];
  }
  return [
    embedded,
    apacheKafka("Apache Kafka, syncs", { "log.flush.interval.messages": "1" }),
    apacheKafka("Apache Kafka, default, does not sync", {}),
  ];
}

async function createTopic(port: number, topic: string, numPartitions: number): Promise<void> {
  const { kafka } = new KafkaClient({ brokers: [`127.0.0.1:${port}`], clientId: "bench" }, silentLogger);
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true });
  await admin.disconnect();
}

/** @returns a figure for each of LOADS */
async function measureOne({ name, start }: Contestant, durationMs: number): Promise<Measured[]> {
  process.stderr.write(`bench-broker: ${name}\n`);
  const [port = 0] = freePorts(1);
  const stop = await start(port);
  try {
    await createTopic(port, TOPIC, PARTITIONS);
    const measured: Measured[] = [];
    for (const { connections, records } of LOADS) {
      const load = { port, topic: TOPIC, partitions: PARTITIONS, connections, records, durationMs };
      await measure(load);
      measured.push(await measure(load));
    }
    return measured;
  } finally {
    await stop();
  }
}

await runCommand("bench-broker", USAGE, async (args) => {
  const text = { type: "string" } as const;
  const { values } = parseOptions(args, { seconds: text, rounds: text, records: text });
  const durationMs = wholeNumber("--seconds", values.seconds ?? "5") * 1_000;
  const rounds = wholeNumber("--rounds", values.rounds ?? "1");
  const records = wholeNumber("--records", values.records ?? "5000000");
  say(
    `Bun ${Bun.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}, load ${loadavg()[0]}`,
  );
  const all = (await contestants()).map((contestant) => ({ contestant, runs: [] as Measured[][] }));
  for (let round = 0; round < rounds; round++) {
    for (const { contestant, runs } of all) runs.push(await measureOne(contestant, durationMs));
  }
  for (const [index, { what }] of LOADS.entries()) {
    const rows = all.map(({ contestant, runs }) => {
      const [best] = runs
        .flatMap((run) => run[index] ?? [])
        .sort((one, other) => other.records - one.records);
      const records = Math.round(best?.records ?? 0).toLocaleString("en");
      return [contestant.name, records, best?.median.toFixed(2) ?? "", best?.p99.toFixed(2) ?? ""];
    });
    say(`\n${table([what, "records/s", "median ms", "p99 ms"], rows)}`);
  }
  if (records > 0) {
    const { afterCleanStop, afterKill } = await measureStartUp(records, createTopic, say);
    const [clean, killed] = [afterCleanStop, afterKill].map((ms) => `${Math.round(ms)} ms`);
    say(`\nstart of the embedded broker, with ${records.toLocaleString("en")} records of 100 bytes:`);
    say(`${clean} after a clean stop, ${killed} after a kill -9`);
  }
  return 0;
});
