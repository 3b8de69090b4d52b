import { kafkaBroker, transportConformance } from "@distributed-messaging/messaging/conformance";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";

/*
 * The transport's conformance suite on a real Apache Kafka with its default settings. Not named `*.test.ts`: it takes
 * a minute and needs Java and Maven. `bun run test-apache-kafka` runs it, and skips it where these are missing.
 */
transportConformance("Apache Kafka", async () => {
  const [broker = 0, controller = 0] = freePorts(2);
  const kafka = await startApacheKafka({ ports: { broker, controller } });
  const control = {
    stop: () => kafka.stop(),
    outage: {
      begin: () => kafka.kill(),
      end: (options: { readonly keepData: boolean }) => kafka.restart(options),
    },
  };
  return kafkaBroker(kafka.brokers, control, { isApacheKafka: true });
});
