import { expect, test } from "bun:test";
import { OrderConfirmed } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { service } from "./service.ts";

const RETENTION_MS = 1_000_000;

test("old notifications are deleted, numbers go on, and a rebuild does not bring them back", async () => {
  const env = { NOTIFICATION_RETENTION: `${RETENTION_MS}ms` };
  await using fixture = await new ServiceFixture(service, { env }).start();
  const { store } = fixture.parts;
  const confirm = (orderId: string, ageMs: number) =>
    fixture.handle(OrderConfirmed, { orderId, customerId: "ANN" }, { at: Date.now() - ageMs });
  await confirm("OLD", 3 * RETENTION_MS);
  await confirm("YOUNG", 0);
  const kept = store.keptFor(RETENTION_MS);
  const sweep = () =>
    fixture.running.messaging.unitOfWork.run(({ now }) => void kept.remove(now - RETENTION_MS, 100, now));
  await sweep();
  await sweep();
  const left = () => store.after("ANN", "0", 10).map(({ seq, orderId }) => [seq, orderId]);
  expect(left()).toEqual([[2, "YOUNG"]]);
  await fixture.rebuild.begin(true);
  await eventually(() => fixture.rebuild.status().phase === "done");
  expect(left()).toEqual([[2, "YOUNG"]]);
  await confirm("NEXT", 0);
  expect(left().map(([, orderId]) => orderId)).toEqual(["YOUNG", "NEXT"]);
  expect(left()[1]?.[0]).toBeGreaterThan(2);
});
