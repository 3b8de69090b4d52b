import { silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { Reader, record, rejects } from "@distributed-messaging/messaging/conformance";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";

/*
 * A process that uses a broker and closes everything. It ends by itself if, and only if, no connection and no timer is
 * left. kafka-exit.test.ts starts it with the broker's address and whether it is there.
 */
const [address = "", expected] = process.argv.slice(2);
const topic = { name: `exit.${crypto.randomUUID()}`, key: "any", partitions: 2, config: {} };
const settings = { brokers: [address], clientId: "exit" };
const transport = kafkaTransport(settings, [topic], systemRuntime, silentLogger);

const reader = new Reader(transport, {
  topics: [topic],
  handle: async () => ({ next: 0, pauseMs: 60 * 60_000 }),
});
const sent = !(await rejects(transport.publish([record(topic, "key", "value")])));
if (sent !== (expected === "available")) throw new Error(`the broker should be ${expected}`);
if (sent) await reader.hasAll(["value"]);
await reader.subscription.stop();
await transport.close();
process.stdout.write("closed\n");
