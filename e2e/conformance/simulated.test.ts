import { type BrokerUnderTest, transportConformance } from "@distributed-messaging/messaging/conformance";

import { SimulatedBroker } from "../simulation/broker.ts";
import { Faults } from "../simulation/faults.ts";
import { Prng } from "../simulation/prng.ts";
import { Incarnation, Scheduler, Trace } from "../simulation/scheduler.ts";

/** The broker of the simulation, with its faults off. Its virtual time follows the clock. */
async function simulatedBroker(): Promise<BrokerUnderTest> {
  const scheduler = new Scheduler();
  const prng = new Prng("conformance");
  const faults = new Faults(prng, new Set());
  const broker = new SimulatedBroker({
    scheduler,
    prng,
    faults,
    trace: new Trace(scheduler),
    violation: (text) => {
      throw new Error(text);
    },
  });
  const startedMs = performance.now();
  const clock = setInterval(() => {
    const untilMs = performance.now() - startedMs;
    while (scheduler.step(untilMs));
    scheduler.nowMs = untilMs;
  }, 1);
  const names = new Set<string>();
  const logOf = (name: string, partition: number) => {
    const log = broker.partitionsOf(name)[partition];
    if (log === undefined) throw new Error(`no partition ${name}/${partition}`);
    return log;
  };
  return {
    connect: (topics) => {
      const connection = broker.connect(new Incarnation("client", () => {}));
      const createTopics = () => {
        broker.createTopics(topics);
        for (const { name } of topics) names.add(name);
      };
      createTopics();
      let closed = false;
      return {
        publish: async (records) => {
          if (closed) throw new Error("the client is closed");
          createTopics();
          await connection.publish(records);
        },
        subscribe: (options) => connection.subscribe(options),
        follow: (options) => connection.follow(options),
        trim: (topic, before) => connection.trim(topic, before),
        close: async () => {
          closed = true;
        },
      };
    },
    storeUndecodable: async ({ name }, partition, count) => {
      broker.storeUndecodable(logOf(name, partition), count, Buffer.from("?"));
    },
    stop: async () => clearInterval(clock),
    // Sessions do not expire.
    sessionTimeoutMs: 0,
    administration: {
      addPartitions: async ({ name }, partitions) => broker.createTopics([{ name, partitions }]),
      deleteRecords: async ({ name }, partition, before) => {
        broker.trim(logOf(name, partition), before);
      },
      deleteTopic: async ({ name }) => broker.deleteTopic(name),
    },
    outage: {
      begin: async () => broker.shutDown(),
      end: async ({ keepData }) => {
        if (!keepData) for (const name of names) broker.deleteTopic(name);
        broker.startUp();
      },
    },
  };
}

// It models records, and batches that cannot be decoded, not how they are encoded: that is tested on the other brokers.
transportConformance("the simulated broker", simulatedBroker, {
  isServer: true,
  hasOutages: true,
  hasBatches: false,
});
