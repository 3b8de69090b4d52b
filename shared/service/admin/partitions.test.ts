import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, Letter, letter, letters, tokenOf } from "../testing/dead-letter-fixture.ts";

const bytes = Buffer.from([0xff, 0x00]);

let fixture: DeadLetterFixture;
beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  fixture.broker.partition(letters.name, 2).appendUndecodable(bytes, 2, "unknown codec");
  await fixture.broker.publish([]);
  await eventually(() => fixture.running.messaging.partitionStops.list().length === 1);
});
afterEach(() => fixture[Symbol.asyncDispose]());

async function ask(method: string, path: string, body?: object, token?: string) {
  const response = await fetch(`${fixture.url}/partitions${path}`, {
    method,
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${token ?? (await tokenOf("admin"))}`,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

const decision = { action: "skip", reason: "sent by mistake" };

test("is refused without an admin's token", async () => {
  const customer = await tokenOf("customer");
  for (const [method, path, body] of [
    ["GET", ""],
    ["GET", "/letters/2"],
    ["POST", "/letters/2/decisions", decision],
  ] as const) {
    expect((await fetch(`${fixture.url}/partitions${path}`, { method })).status).toBe(401);
    expect((await ask(method, path, body, customer)).status).toBe(403);
  }
  expect(fixture.running.messaging.partitionStops.list()).toHaveLength(1);
});

test("lists what is stopped, shows it with its bytes, and records who had it skipped", async () => {
  const stop = {
    topic: "letters",
    partition: "2",
    reason: "undecodable-batch",
    error: "records 0 to 1 cannot be decoded: unknown codec",
    offset: 0,
    nextOffset: 2,
    bytes: 2,
    stoppedAt: expect.stringMatching(/^\d{4}-.*Z$/),
  };
  expect(await ask("GET", "")).toEqual({ status: 200, body: [stop] });
  expect(await ask("GET", "/letters/2")).toEqual({
    status: 200,
    body: { topic: "letters", partition: "2", stop: { ...stop, base64: "/wA=" }, decisions: [] },
  });
  const { status, body } = await ask("POST", "/letters/2/decisions", decision);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    stop: null,
    decisions: [{ action: "skip", actor: "alice", detail: "sent by mistake", base64: "/wA=", offset: 0 }],
  });
  expect((await ask("GET", "")).body).toEqual([]);
  const names = Array.from({ length: 20 }, (_, index) => `name-${index}`);
  await fixture.park(...names.map((name) => letter(name, "poison")));
});

test("refuses decisions that are not possible, with the reason", async () => {
  expect(await ask("POST", "/letters/1/decisions", decision)).toMatchObject({
    status: 404,
    body: { type: "urn:problem-type:not-stopped", detail: "Partition letters/1 is not stopped." },
  });
  expect(await ask("POST", "/letters/2/decisions", { ...decision, action: "accept" })).toMatchObject({
    status: 409,
    body: { type: "urn:problem-type:action-not-possible" },
  });
  expect(await ask("POST", "/letters/2/decisions", { ...decision, offset: 7 })).toMatchObject({
    status: 409,
    body: { type: "urn:problem-type:stopped-elsewhere" },
  });
  expect((await ask("POST", "/letters/2/decisions", { action: "skip" })).status).toBe(422);
  expect((await ask("GET", "/letters/x")).status).toBe(422);
});

test.each([
  { GAPS: "stop", stops: 1 },
  { GAPS: "continue", stops: 0 },
])("GAPS=$GAPS: after a gap, $stops partitions are stopped", async ({ GAPS, stops }) => {
  await using service = await DeadLetterFixture.open({ GAPS });
  await service.handle(Letter, { name: "a", text: "1" });
  await service.stop();
  await service.publish(Letter, { name: "a", text: "2" });
  await service.publish(Letter, { name: "a", text: "3" });
  const { partition = 0 } = service.broker.records(letters.name)[0] ?? {};
  service.broker.partition(letters.name, partition).trim(2);
  await service.start();
  const counts = () => service.running.messaging.consumer.counts;
  await eventually(() => counts().lost === 1 && counts().handled === 1 - stops);
  expect(service.running.messaging.partitionStops.list()).toHaveLength(stops);
});
