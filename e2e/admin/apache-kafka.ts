import { afterAll, beforeAll, test } from "bun:test";
import { type ApacheKafka, startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { compareConfigs } from "./configs.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

const [port = 0, controller = 0] = freePorts(2);
let kafka: ApacheKafka;
beforeAll(async () => {
  kafka = await startApacheKafka({ ports: { broker: port, controller } });
});
afterAll(() => kafka?.stop());

test("Apache Kafka answers to changes of configurations as the table says", () => compareConfigs(port));
