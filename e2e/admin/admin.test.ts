import { afterAll, beforeAll, test } from "bun:test";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { compareConfigs } from "./configs.ts";

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ host: "127.0.0.1" });
});
afterAll(() => broker.stop());

test("the embedded broker answers to changes of configurations as the table says", () =>
  compareConfigs(broker.port));
