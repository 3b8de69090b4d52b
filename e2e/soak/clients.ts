import { connect } from "node:net";
import { join } from "node:path";
import { errorText } from "@distributed-messaging/messaging";
import { CompressionTypes, Kafka, logLevel, Partitioners } from "kafkajs";
import { buildPythonEnvironment } from "../clients/toolchains.ts";

export interface Counts {
  produced: number;
  consumed: number;
  errors: number;
  lastError: string | null;
}

/** A kind of client that works until it is stopped. */
export interface RunningClient {
  readonly name: string;
  readonly counts: Readonly<Counts>;
  stop(): Promise<void>;
}

interface Target {
  /** `host:port`. */
  readonly brokers: string;
  readonly topic: string;
  /** Records a second. */
  readonly rate: number;
}

const SEND_INTERVAL_MS = 100;
const REJOIN_INTERVAL_MS = 20_000;
const ADMIN_INTERVAL_MS = 5_000;
const INTRUDER_INTERVAL_MS = 250;

/** Runs `step` again and again, and counts its failures. */
class Repeated {
  #running: Promise<void>;
  readonly #stopped = Promise.withResolvers<void>();
  #isStopped = false;

  constructor(intervalMs: number, step: () => Promise<void>, counts: Counts) {
    this.#running = (async () => {
      while (!this.#isStopped) {
        try {
          await step();
        } catch (error) {
          counts.errors += 1;
          counts.lastError = errorText(error);
        }
        await Promise.race([Bun.sleep(intervalMs), this.#stopped.promise]);
      }
    })();
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopped.resolve();
    return this.#running;
  }
}

const noCounts = (): Counts => ({ produced: 0, consumed: 0, errors: 0, lastError: null });

/** A producer, a group of two consumers of which one leaves and returns, and topics that come and go. */
export async function startKafkajs({ brokers, topic, rate }: Target): Promise<RunningClient> {
  const counts = noCounts();
  const kafka = new Kafka({ clientId: "soak", brokers: [brokers], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const admin = kafka.admin();
  await admin.connect();

  const member = async () => {
    const consumer = kafka.consumer({
      groupId: "soak-kafkajs",
      sessionTimeout: 10_000,
      maxWaitTimeInMs: 500,
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
        counts.consumed += batch.messages.length;
        resolveOffset(batch.lastOffset());
        await heartbeat();
      },
    });
    return consumer;
  };
  const stays = await member();
  let comesAndGoes = await member();

  let number = 0;
  const works = [
    new Repeated(
      SEND_INTERVAL_MS,
      async () => {
        const messages = Array.from(
          { length: Math.max(1, Math.round((rate * SEND_INTERVAL_MS) / 1_000)) },
          () => ({
            key: String(number++ % 100),
            value: "kafkajs ".repeat(15),
          }),
        );
        const compression = number % 2 === 0 ? CompressionTypes.GZIP : CompressionTypes.None;
        await producer.send({ topic, messages, compression });
        counts.produced += messages.length;
      },
      counts,
    ),
    new Repeated(
      REJOIN_INTERVAL_MS,
      async () => {
        await comesAndGoes.disconnect();
        comesAndGoes = await member();
      },
      counts,
    ),
    new Repeated(
      ADMIN_INTERVAL_MS,
      async () => {
        const name = `soak-${crypto.randomUUID()}`;
        await admin.createTopics({ topics: [{ topic: name, numPartitions: 3 }] });
        // One of its own: a producer of kafkajs fails when a topic that it has sent to does not exist any more.
        const visitor = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
        await visitor.connect();
        await visitor.send({ topic: name, messages: [{ value: "one" }] });
        await visitor.disconnect();
        await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() - 10_000);
        await admin.listGroups();
        await admin.deleteTopics({ topics: [name] });
      },
      counts,
    ),
  ];
  return {
    name: "kafkajs",
    counts,
    async stop() {
      for (const work of works) await work.stop();
      await Promise.all([
        stays.disconnect(),
        comesAndGoes.disconnect(),
        producer.disconnect(),
        admin.disconnect(),
      ]);
    },
  };
}

/** Connections that send half a request, or nonsense, or that vanish while they wait for an answer. */
export function startIntruders({ brokers }: Target): RunningClient {
  const [host = "", port] = brokers.split(":");
  const counts = noCounts();
  // A Metadata request of version 1 for all topics.
  const metadata = Buffer.from("0000000f000300010000000100017800000000", "hex");
  metadata.writeInt32BE(metadata.length - 4, 0);
  const sent = [metadata.subarray(0, 9), Buffer.from("GET / HTTP/1.1\r\n\r\n"), metadata];
  const work = new Repeated(
    INTRUDER_INTERVAL_MS,
    () =>
      new Promise<void>((resolve, reject) => {
        const socket = connect({ host, port: Number(port) }, () => {
          socket.write(sent[counts.produced++ % sent.length] ?? metadata, () => {
            socket.destroy();
            resolve();
          });
        });
        socket.on("error", reject);
      }),
    counts,
  );
  return { name: "intruders", counts, stop: () => work.stop() };
}

/** Those of `librdkafka.py`. @throws ClientMissing when Python or its packages cannot be had */
export async function startLibrdkafka({ brokers, topic, rate }: Target): Promise<RunningClient> {
  const python = await buildPythonEnvironment();
  const program = join(import.meta.dir, "librdkafka.py");
  const child = Bun.spawn([python, program, brokers, topic, String(rate)], {
    stdin: "pipe",
    stderr: "inherit",
  });
  const counts = noCounts();
  const reading = (async () => {
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      const last = lines.at(-1);
      if (last !== undefined) Object.assign(counts, JSON.parse(last));
    }
  })();
  return {
    name: "librdkafka",
    counts,
    async stop() {
      child.stdin.end();
      await reading;
      if ((await child.exited) !== 0) throw new Error(`${program} ended with exit code ${child.exitCode}`);
    },
  };
}
