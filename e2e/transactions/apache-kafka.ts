import { test } from "bun:test";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { compareTransactions } from "./transactions.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

test("Apache Kafka answers to transactions as the table says", async () => {
  const [broker = 0, controller = 0] = freePorts(2);
  const kafka = await startApacheKafka({ ports: { broker, controller } });
  try {
    await compareTransactions(broker);
  } finally {
    await kafka.stop();
  }
});
