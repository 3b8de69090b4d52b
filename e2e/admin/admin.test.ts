import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { compareConfigs } from "./configs.ts";
import { compareOffsetDeletions } from "./offsets.ts";
import { ask } from "./raw-client.ts";
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

test("a member of a group of KIP-848 is refused with the error that clients take for fatal", async () => {
  const CONSUMER_GROUP_HEARTBEAT = 68;
  const UNSUPPORTED_VERSION = 35;
  const body = Buffer.from("no field of it is read");
  const response = await ask(broker.port, CONSUMER_GROUP_HEARTBEAT, 0, body, { flexible: true });
  response.int32();
  expect(response.int16()).toBe(UNSUPPORTED_VERSION);
  expect(response.compactText()).toContain("set group.protocol=classic");
});
