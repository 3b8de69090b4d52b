import { afterEach, beforeEach, expect, test } from "bun:test";
import { OrderConfirmed } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Notification } from "./store.ts";
import { type NotificationFixture, startNotificationFixture } from "./testing/fixture.ts";

/* Two instances in this process. Each has a broker of its own, which is sent the same records. */

let instances: NotificationFixture[];
beforeEach(async () => {
  instances = [];
  for (const name of ["a", "b"]) instances.push(await startNotificationFixture({ INSTANCE: name }));
});
afterEach(async () => {
  for (const { fixture } of instances) await fixture[Symbol.asyncDispose]();
});

const TOPIC = OrderConfirmed.topic.name;

function instance(index: number): NotificationFixture {
  const found = instances[index % 2];
  if (found === undefined) throw new Error("there are two instances");
  return found;
}

/** Events at the first instance. */
async function confirm(from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number += 1)
    await instance(0).fixture.publish(OrderConfirmed, { orderId: `X${number}`, customerId: "ANN" });
}

/** Sends the second instance what the first one has more. Those of a partition are in their order. */
async function follow(): Promise<void> {
  const { broker } = instance(1).fixture;
  const textOf = ({ value }: { value: Uint8Array | null }) => Buffer.from(value ?? []).toString();
  const has = new Set(broker.records(TOPIC).map(textOf));
  await broker.publish(
    instance(0)
      .fixture.broker.records(TOPIC)
      .filter((record) => !has.has(textOf(record))),
  );
}

test("a WebSocket that moves from one to the other while messages arrive misses none and receives none twice", async () => {
  const received: Notification[] = [];
  for (let round = 0; round < 8; round += 1) {
    const { fixture, tokenOf } = instance(round);
    const sending = confirm(1 + 50 * round, 50 + 50 * round).then(follow);
    const after = received.at(-1)?.cursor ?? "0";
    const url = `${fixture.url.replace("http", "ws")}/notifications?after=${after}`;
    const socket = new WebSocket(url, ["bearer", await tokenOf("ANN")]);
    const had = received.length;
    let isOpen = true;
    socket.addEventListener("message", ({ data }) => {
      if (isOpen) received.push(JSON.parse(String(data)) as Notification);
    });
    await eventually(() => received.length > had + 10, `more than ${had} notifications`);
    isOpen = false;
    socket.close();
    await sending;
  }
  const { fixture, tokenOf } = instance(0);
  const headers = { authorization: `Bearer ${await tokenOf("ANN")}` };
  await eventually(() => fixture.parts.store.after("ANN", "0", 500).length === 400);
  const answer = await fetch(`${fixture.url}/notifications?after=${received.at(-1)?.cursor}`, { headers });
  received.push(...((await answer.json()) as Notification[]));
  const ids = received.map(({ notificationId }) => notificationId);
  expect(new Set(ids).size).toBe(400);
  expect(ids.length).toBe(400);
});

test.each(["c", "cabc", "x", "1.5"])("'%s' is no cursor: nothing is sent", async (after) => {
  const { fixture, tokenOf } = instance(0);
  const token = await tokenOf("ANN");
  const url = `${fixture.url}/notifications?after=${after}`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  expect([answer.status, await answer.json()]).toEqual([
    422,
    expect.objectContaining({
      errors: [{ path: "/after", message: expect.stringContaining("the cursor of a notification") }],
    }),
  ]);
  const socket = new WebSocket(url.replace("http", "ws"), ["bearer", token]);
  const opened = await new Promise((resolve) => {
    socket.addEventListener("open", () => resolve(true));
    socket.addEventListener("close", () => resolve(false));
  });
  expect(opened).toBe(false);
});
