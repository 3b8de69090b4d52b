/** kafkajs clients with short retries and no log, disconnected after the test. */
import { type Consumer, type ConsumerConfig, Kafka, logLevel, Partitioners, type Producer } from "kafkajs";
import { cleanUp } from "./temporary.ts";

interface Address {
  readonly host?: string;
  readonly port: number;
}

export function kafkaFor({ host = "localhost", port }: Address): Kafka {
  return new Kafka({
    clientId: "test",
    brokers: [`${host}:${port}`],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 100, retries: 20 },
  });
}

export async function adminFor(kafka: Kafka) {
  const admin = kafka.admin();
  cleanUp(() => admin.disconnect());
  await admin.connect();
  return admin;
}

export async function producerFor(kafka: Kafka): Promise<Producer> {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  cleanUp(() => producer.disconnect());
  await producer.connect();
  return producer;
}

export interface Received {
  readonly partition: number;
  readonly offset: string;
  readonly value: string;
}

/** A running consumer and its received records. */
export class RunningConsumer {
  readonly received: Received[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(readonly consumer: Consumer) {}

  static async start(
    kafka: Kafka,
    topic: string,
    config: ConsumerConfig,
    { autoCommit = true } = {},
  ): Promise<RunningConsumer> {
    const consumer = kafka.consumer({
      maxWaitTimeInMs: 50,
      heartbeatInterval: 100,
      sessionTimeout: 6000,
      ...config,
    });
    const running = new RunningConsumer(consumer);
    cleanUp(() => consumer.disconnect());
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit,
      eachMessage: async ({ partition, message: { offset, value } }) => {
        running.received.push({ partition, offset, value: String(value) });
        for (const check of running.#waiting) check();
      },
    });
    return running;
  }

  get values(): string[] {
    return this.received.map(({ value }) => value);
  }

  /** Resolves when the received records satisfy `holds`. */
  until(holds: (received: readonly Received[]) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!holds(this.received)) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}
