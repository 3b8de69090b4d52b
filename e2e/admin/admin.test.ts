import { afterAll, beforeAll, test } from "bun:test";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { compareConfigs } from "./configs.ts";
import { compareOffsetDeletions } from "./offsets.ts";
import { compareDescriptions } from "./topics.ts";

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ host: "127.0.0.1" });
});
afterAll(() => broker.stop());

test("the embedded broker answers to changes of configurations as the table says", () =>
  compareConfigs(broker.port));

test("the embedded broker answers to deletions of offsets as the table says", () =>
  compareOffsetDeletions(broker.port));

test("the embedded broker describes logs and partitions as expected", () => compareDescriptions(broker.port));
