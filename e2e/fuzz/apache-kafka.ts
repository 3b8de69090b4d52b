import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { fuzz } from "./fuzz.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

fuzz(async () => {
  const [port = 0, controller = 0] = freePorts(2);
  const kafka = await startApacheKafka({ ports: { broker: port, controller } });
  return { port, validates: true, [Symbol.asyncDispose]: () => kafka.stop() };
}, 5_000);
