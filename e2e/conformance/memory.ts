import { systemRuntime } from "@distributed-messaging/messaging";
import type { BrokerUnderTest, ClientUnderTest } from "@distributed-messaging/messaging/conformance";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";

/** The broker in this process: always available, without administration. */
export async function memoryBroker(): Promise<BrokerUnderTest> {
  const broker = new MemoryBroker([], systemRuntime);
  return {
    connect: (topics) => {
      broker.createTopics(topics);
      return client(broker);
    },
    storeUndecodable: async ({ name }, partition, count) => {
      broker.partition(name, partition).appendUndecodable(Buffer.from("?"), count, "unknown codec");
    },
    stop: async () => {},
  };
}

function client(broker: MemoryBroker): ClientUnderTest {
  let closed = false;
  return {
    publish: async (records) => {
      if (closed) throw new Error("closed");
      await broker.publish(records);
    },
    subscribe: (options) => broker.subscribe(options),
    follow: (options) => broker.follow(options),
    trim: (topic, before) => broker.trim(topic, before),
    close: async () => {
      closed = true;
    },
  };
}
