import { transportConformance } from "@distributed-messaging/messaging/conformance";
import { kafkaBroker } from "@distributed-messaging/messaging/conformance/kafka";
import { startApacheKafka } from "@distributed-messaging/scripts/start-apache-kafka";

/*
 * The transport's promises on a real Apache Kafka with its own defaults. No `*.test.ts`, for it takes a minute and
 * needs Java and Maven: `bun run test-apache-kafka` runs it, and leaves it out where these are missing.
 */
transportConformance("Apache Kafka", async () => {
  const kafka = await startApacheKafka();
  return kafkaBroker(kafka.brokers, {
    stop: () => kafka.stop(),
    outage: { begin: () => kafka.kill(), end: (options) => kafka.restart(options) },
  });
});
