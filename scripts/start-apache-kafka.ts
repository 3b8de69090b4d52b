import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { ApacheKafkaMissing } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { CommandFailed, parseOptions, runCommand } from "./command/command.ts";

const USAGE = `usage: bun run start-apache-kafka

Runs one Apache Kafka node until Ctrl-C, and prints its address. Needs Java and Maven.`;

const say = (line: string) => void process.stderr.write(`start-apache-kafka: ${line}\n`);

async function main(args: readonly string[]): Promise<number> {
  parseOptions(args, {});
  const stopRequested = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopRequested.resolve(0));
  const [broker = 0, controller = 0] = freePorts(2);
  try {
    const kafka = await startApacheKafka({ ports: { broker, controller }, report: say });
    process.stdout.write(`KAFKA_BROKERS=${kafka.brokers.join(",")}\n`);
    say("running; Ctrl-C stops it and removes its data");
    const exitCode = await Promise.race([stopRequested.promise, kafka.failure]);
    await kafka.stop();
    return exitCode;
  } catch (error) {
    if (error instanceof ApacheKafkaMissing) throw new CommandFailed(error.message);
    throw error;
  }
}

await runCommand("start-apache-kafka", USAGE, main);
