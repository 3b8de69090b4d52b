import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { connectTo } from "@distributed-messaging/messaging/kafka";
import { silentLogger } from "@distributed-messaging/messaging/runtime";
import {
  ApacheKafkaMissing,
  KAFKA_DIR,
  provideApacheKafka,
} from "@distributed-messaging/redpanda/apache-kafka/jars";
import { ApacheKafkaNode } from "@distributed-messaging/redpanda/apache-kafka/node";
import { freePorts } from "@distributed-messaging/supervisor/ports";

/*
 * A real Apache Kafka, to prove that nothing depends on the embedded broker: one KRaft node on this machine.
 *
 *   bun scripts/apache-kafka.ts      prints its address and runs it until Ctrl-C
 */

/** From nothing to the first answer; a slow machine takes ten times as long as a fast one. */
const READY_TIMEOUT_MS = 60_000;
const PROBE_INTERVAL_MS = 100;

export { ApacheKafkaMissing, provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";

export interface ApacheKafka {
  /** `host:port`, for KAFKA_BROKERS. The same after every restart. */
  readonly brokers: readonly string[];
  /** SIGKILL. Its data stays. */
  kill(): Promise<void>;
  /** Starts it again, first killing it if it runs. With `keepData: false`, as an empty new cluster. */
  restart(options?: { readonly keepData?: boolean }): Promise<void>;
  /** SIGTERM, for good: its data is removed. */
  stop(): Promise<void>;
  /** Rejects when it ends by itself. */
  readonly failure: Promise<never>;
}

/**
 * Starts an empty Apache Kafka on free ports of the loopback interface. It ends with this process, however that
 * ends, and leaves nothing behind but the jars in `.kafka`.
 *
 * @param settings broker settings, besides those that a single node needs
 * @param say is told what is being done, a line at a time
 * @throws ApacheKafkaMissing when Java or Maven is missing; Error when it does not start
 */
export async function startApacheKafka(
  settings: Readonly<Record<string, string>> = {},
  say: (line: string) => void = () => {},
): Promise<ApacheKafka> {
  const runtime = await provideApacheKafka(say);
  const [broker = 0, controller = 0] = freePorts(2);
  const folder = join(KAFKA_DIR, `run-${randomUUID()}`);
  const node = new ApacheKafkaNode(runtime, folder, { broker, controller }, settings);
  const brokers = [`127.0.0.1:${broker}`];
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});

  async function run(format: boolean): Promise<void> {
    try {
      if (format) await node.format();
      const ended = node.start();
      ended.catch(failure.reject);
      await Promise.race([untilReady(brokers), ended]);
    } catch (error) {
      await node.end("SIGKILL");
      throw error;
    }
  }

  async function stop(): Promise<void> {
    await node.end("SIGTERM");
    node.remove();
  }

  await run(true).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    brokers,
    kill: () => node.end("SIGKILL"),
    restart: async ({ keepData = true } = {}) => {
      await node.end("SIGKILL");
      await run(!keepData);
    },
    stop,
    failure: failure.promise,
  };
}

/** Resolves when a client gets an answer: an open port alone does not mean that the broker takes requests. */
async function untilReady(brokers: readonly string[]): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const admin = connectTo({ brokers, clientId: "readiness" }, silentLogger).admin({
      retry: { retries: 0 },
    });
    try {
      await admin.connect();
      const cluster = await admin.describeCluster();
      if (cluster.brokers.length > 0) return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error("Apache Kafka is not ready in time", { cause: error });
    } finally {
      await admin.disconnect();
    }
    await Bun.sleep(PROBE_INTERVAL_MS);
  }
}

async function main(): Promise<number> {
  const say = (line: string) => void process.stderr.write(`apache-kafka: ${line}\n`);
  const stopped = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopped.resolve(0));
  try {
    const kafka = await startApacheKafka({}, say);
    process.stdout.write(`KAFKA_BROKERS=${kafka.brokers.join(",")}\n`);
    say("running until Ctrl-C; its data goes with it");
    const exitCode = await Promise.race([stopped.promise, kafka.failure]);
    await kafka.stop();
    return exitCode;
  } catch (error) {
    say(error instanceof ApacheKafkaMissing ? error.message : String(error));
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
