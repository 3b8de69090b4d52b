import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { provision } from "@distributed-messaging/redpanda/provision";
import { storeTopics } from "@distributed-messaging/services/registry";
import { CommandFailed } from "../command/command.ts";
import { OtherBroker } from "./other-broker.ts";

let broker: Broker;
let env: { KAFKA_BROKERS: string };
beforeAll(async () => {
  broker = await startBroker({ host: "127.0.0.1" });
  env = { KAFKA_BROKERS: `${broker.host}:${broker.port}` };
});
afterAll(() => broker.stop());

const other = { name: "of-others", key: "any", partitions: 1, config: {} } as const;
const provisioned = async () => {
  const { created } = await provision({ brokers: [env.KAFKA_BROKERS], clientId: "test" }, [
    other,
    ...storeTopics,
  ]);
  return created;
};

test("a broker that has the store's topics is refused, and keeps them", async () => {
  await OtherBroker.of(env, false)?.makeReady();
  await provisioned();
  const refused = OtherBroker.of(env, false)?.makeReady();
  await expect(refused).rejects.toThrow(
    /has the topics .*order\.events.*; use another one, or --delete-topics$/,
  );
  expect(await provisioned()).toEqual([]);
});

test("only where that is asked for they are deleted before a system starts, and those of others never", async () => {
  await provisioned();
  await OtherBroker.of(env, true)?.makeReady();
  expect(await provisioned()).toEqual(storeTopics.map(({ name }) => name));
  await OtherBroker.of(env, false)?.clear();
  expect(await provisioned()).toEqual(storeTopics.map(({ name }) => name));
});

test("without KAFKA_BROKERS, embedded ones are used; one with TLS or SASL is refused", () => {
  expect(OtherBroker.of({ KAFKA_BROKERS: " " }, false)).toBeUndefined();
  expect(() => OtherBroker.of({ ...env, KAFKA_SSL: "true" }, false)).toThrow(CommandFailed);
});
