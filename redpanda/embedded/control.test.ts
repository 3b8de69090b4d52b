import { afterEach, expect, test } from "bun:test";
import { ErrorCode } from "./errors.ts";
import { ApiKey } from "./registry.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { adminFor, kafkaFor, producerFor } from "./testing/kafkajs.ts";
import { RawClient } from "./testing/raw-client.ts";
import {
  createTopic,
  FETCH,
  fetchBody,
  fetched,
  PRODUCE,
  produceBody,
  produced,
} from "./testing/requests.ts";
import { cleanAll, temporaryBroker } from "./testing/temporary.ts";

afterEach(cleanAll);

async function setUp() {
  const broker = await temporaryBroker();
  const client = await RawClient.connect(broker);
  await createTopic(client, "t");
  const stored = async () => {
    const reader = await RawClient.connect(broker);
    return textsIn(fetched(await reader.request(ApiKey.Fetch, FETCH, fetchBody("t"))).records);
  };
  return { broker, client, stored };
}

test("fail: the response has the code, the request has no effect, and the rule ends after `times` requests", async () => {
  const { broker, client, stored } = await setUp();
  const rule = broker.control.on(ApiKey.Produce, {
    fault: "fail",
    code: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    times: 2,
  });
  const codes: number[] = [];
  for (const text of ["a", "b", "c"]) {
    const response = await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf([text])));
    codes.push(produced(response).code);
  }
  expect(codes).toEqual([6, 6, 0]);
  await rule.exhausted;
  expect([rule.hits, await stored()]).toEqual([2, ["0:=c"]]);
});

test("drop-response: the request takes effect without a response", async () => {
  const { broker, client, stored } = await setUp();
  broker.control.on(ApiKey.Produce, { fault: "drop-response" });
  client.send(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"])));
  await client.closed;
  expect(await stored()).toEqual(["0:=a"]);
});

test("cut: the request has no effect", async () => {
  const { broker, client, stored } = await setUp();
  broker.control.on(ApiKey.Produce, { fault: "cut" });
  client.send(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"])));
  await client.closed;
  expect(await stored()).toEqual([]);
});

test("delay: the request takes effect when the promise resolves, or after the given time", async () => {
  const { broker, client, stored } = await setUp();
  const release = Promise.withResolvers<void>();
  broker.control.on(ApiKey.Produce, { fault: "delay", until: release.promise });
  broker.control.on(ApiKey.Produce, { fault: "delay", until: 1 });
  client.send(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"])));
  expect(await stored()).toEqual([]);
  release.resolve();
  expect(produced(await client.response(ApiKey.Produce, PRODUCE)).code).toBe(0);
  const second = await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["b"])));
  expect(produced(second).baseOffset).toBe(1);
});

test("a rule applies to matching requests only, until it is removed", async () => {
  const { broker, client } = await setUp();
  const rule = broker.control.on(ApiKey.Produce, {
    fault: "fail",
    code: ErrorCode.REQUEST_TIMED_OUT,
    times: Number.POSITIVE_INFINITY,
    when: ({ clientId, request }) => clientId === "raw" && JSON.stringify(request).includes('"acks":1'),
  });
  const send = async (acks: number) =>
    produced(await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"]), acks))).code;
  expect([await send(1), await send(-1), await send(1)]).toEqual([7, 0, 7]);
  rule.remove();
  expect([await send(1), rule.hits]).toEqual([0, 2]);
});

test("admin requests can fail too", async () => {
  const { broker } = await setUp();
  const kafka = kafkaFor(broker);
  const admin = await adminFor(kafka);
  broker.control.on(ApiKey.CreateTopics, { fault: "fail", code: ErrorCode.POLICY_VIOLATION });
  await expect(admin.createTopics({ topics: [{ topic: "u" }] })).rejects.toThrow();
  broker.control.on(ApiKey.ListGroups, { fault: "fail", code: ErrorCode.UNKNOWN_SERVER_ERROR });
  await expect(admin.listGroups()).rejects.toThrow();
  broker.control.on(ApiKey.DescribeConfigs, { fault: "fail", code: ErrorCode.INVALID_REQUEST });
  const resources = [{ type: 2, name: "t" }];
  await expect(admin.describeConfigs({ resources, includeSynonyms: false })).rejects.toThrow();
});

test("kafkajs retries after each fault, and a dropped response causes a duplicate", async () => {
  const { broker, stored } = await setUp();
  const producer = await producerFor(kafkaFor(broker));
  for (const [value, rule] of [
    ["failed", { fault: "fail", code: ErrorCode.NOT_LEADER_OR_FOLLOWER }],
    ["cut", { fault: "cut" }],
    ["dropped", { fault: "drop-response" }],
  ] as const) {
    broker.control.on(ApiKey.Produce, rule);
    await producer.send({ topic: "t", acks: -1, messages: [{ value }] });
  }
  expect(await stored()).toEqual(["0:=failed", "1:=cut", "2:=dropped", "3:=dropped"]);
});

test("a full disk refuses appends until there is space again", async () => {
  const { broker, client, stored } = await setUp();
  const send = async (text: string) =>
    produced(await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf([text])))).code;
  expect(await send("before")).toBe(0);
  broker.disk.fault = (operation) => {
    if (operation === "write") throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  expect([await send("lost"), await send("lost")]).toEqual([
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.KAFKA_STORAGE_ERROR,
  ]);
  expect(await stored()).toEqual(["0:=before"]);
  broker.disk.fault = undefined;
  expect(await send("after")).toBe(0);
  expect(await stored()).toEqual(["0:=before", "1:=after"]);
});
