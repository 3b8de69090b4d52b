import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type EmbeddedBrokerUnderTest,
  embeddedBroker,
} from "@distributed-messaging/e2e/conformance/embedded";
import { ownerTopic, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { KafkaLogs, kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { ownersOf, UNNAMED } from "./owners.ts";

let broker: EmbeddedBrokerUnderTest;
beforeAll(async () => {
  broker = await embeddedBroker();
});
afterAll(() => broker.stop());

const topic = ownerTopic("order");
const claim = (epoch: number, instance: string, place = "here") =>
  JSON.stringify({ kind: "claim", file: "f", epoch, instance, place, since: 0, age: epoch, released: false });
const record = (key: string, value: string) => ({ topic: topic.name, key, value, headers: {} });

test("the owner of each instance is found, however much the others repeat, over several reads of the topic", async () => {
  const settings = { clientId: "owners", brokers: [broker.address] };
  const transport = kafkaTransport(settings, [topic], systemRuntime, silentLogger);
  await transport.createTopics();
  await transport.publish([record("claim.quiet", claim(7, "q"))]);
  // More than one fetch brings, in records that are as large as a place may be.
  for (let batch = 0; batch < 6; batch += 1) {
    const repeated = Array.from({ length: 500 }, (_, number) =>
      record("claim", claim(batch * 500 + number + 1, "busy", "x".repeat(1_000))),
    );
    await transport.publish(repeated);
  }
  // Of two with one epoch the first counts; what is no claim, and what has an older epoch, does not.
  await transport.publish([
    record("claim", claim(3_000, "late")),
    record("claim", claim(2, "former")),
    record("question", JSON.stringify({ kind: "question", instance: "asking" })),
    record("claim", "no JSON"),
  ]);
  const logs = new KafkaLogs(settings, silentLogger);
  try {
    const owners = await ownersOf(logs, "order");
    expect([...owners].map(([name, { epoch, instance }]) => [name, epoch, instance])).toEqual([
      ["quiet", 7, "q"],
      [UNNAMED, 3_000, "busy"],
    ]);
    expect(await ownersOf(logs, "inventory")).toEqual(new Map());
  } finally {
    await logs.close();
    await transport.close();
  }
});
