import { afterEach, beforeEach, expect, test } from "bun:test";
import { OrderCancelled, OrderConfirmed, tokenClaims } from "@distributed-messaging/contracts";
import type { Role } from "@distributed-messaging/service/identity";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { templateRoutes } from "./http.ts";
import { service } from "./service.ts";

/** The service in this process, on a database and a broker in memory. */
const start = () =>
  new ServiceFixture(service, {
    routes: ({ parts: { store }, messaging: { unitOfWork }, verifier }) =>
      templateRoutes(store, unitOfWork, verifier),
  }).start();

let fixture: Awaited<ReturnType<typeof start>>;
beforeEach(async () => {
  fixture = await start();
});
afterEach(() => fixture[Symbol.asyncDispose]());

const confirm = (orderId: string, times = 1) =>
  fixture.handle(OrderConfirmed, { orderId, customerId: "ANN" }, { times });
const cancel = (orderId: string) =>
  fixture.handle(OrderCancelled, { orderId, customerId: "ANN", reason: "customer_request" });

async function ask(method: string, path: string, role: Role = "admin") {
  const authorization = `Bearer ${await fixture.token(tokenClaims, "ADMIN", role)}`;
  const response = await fetch(`${fixture.url}${path}`, { method, headers: { authorization } });
  return { status: response.status, body: (await response.json()) as unknown };
}

test("a confirmed order has one task, however often the event arrives", async () => {
  await confirm("X", 3);
  expect(fixture.parts.store.open(10)).toMatchObject([{ orderId: "X", customerId: "ANN", status: "open" }]);
});

test("tasks survive a restart; the open ones are listed, oldest first", async () => {
  await confirm("X");
  fixture.aheadMs = 1_000;
  await confirm("Y");
  await confirm("Z");
  await cancel("Z");
  await fixture.restart();
  const { status, body } = await ask("GET", "/tasks");
  expect({ status, body }).toMatchObject({ status: 200, body: [{ orderId: "X" }, { orderId: "Y" }] });
  expect(fixture.parts.store.countByStatus("open")).toBe(2);
});

test("an open task is completed, again with the same answer; a cancelled one is not", async () => {
  await confirm("X");
  const completed = { status: 200, body: { orderId: "X", status: "done" } };
  expect(await ask("POST", "/tasks/X/complete")).toMatchObject(completed);
  expect(await ask("POST", "/tasks/X/complete")).toMatchObject(completed);
  await confirm("Y");
  await cancel("Y");
  expect((await ask("POST", "/tasks/Y/complete")).status).toBe(409);
  expect((await ask("POST", "/tasks/Z/complete")).status).toBe(404);
});

test("customers have no access", async () => {
  expect((await ask("GET", "/tasks", "customer")).status).toBe(403);
});
