import { test } from "bun:test";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { fuzz, LIMIT_MS, recordCountOf } from "./fuzz.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

const recordCount = recordCountOf(5_000);

test(
  `${recordCount} records of other producers: each is refused, handled, skipped or parked once, and no service stops`,
  () =>
    fuzz(async () => {
      const [port = 0, controller = 0] = freePorts(2);
      const kafka = await startApacheKafka({ ports: { broker: port, controller } });
      return { port, validates: true, [Symbol.asyncDispose]: () => kafka.stop() };
    }, recordCount),
  LIMIT_MS,
);
