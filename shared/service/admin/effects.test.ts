import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, tokenOf } from "../testing/dead-letter-fixture.ts";

let fixture: DeadLetterFixture;
/** The ids of three dead effects, of a, b and c. */
let ids: number[];

beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  const { messaging, parts } = fixture.running;
  await messaging.unitOfWork.run((transaction) => {
    for (const name of ["a", "b", "c"]) transaction.enqueue(parts.Call, { name });
  });
  const dead = () => messaging.effectAdmin.list({ limit: 10 });
  await eventually(() => dead().length === 3);
  ids = dead().map(({ id }) => id);
});
afterEach(() => fixture[Symbol.asyncDispose]());

async function ask(method: string, path: string, body?: object, token?: string) {
  const response = await fetch(`${fixture.url}/effects/dead${path}`, {
    method,
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${token ?? (await tokenOf("admin"))}`,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}

test("is refused without an admin's token", async () => {
  const customer = await tokenOf("customer");
  for (const [method, path, body] of [
    ["GET", ""],
    ["GET", `/${ids[0]}`],
    ["POST", `/${ids[0]}/retry`],
    ["POST", "/retry", {}],
    ["DELETE", `/${ids[0]}`, { reason: "x" }],
  ] as const) {
    expect((await fetch(`${fixture.url}/effects/dead${path}`, { method })).status).toBe(401);
    expect((await ask(method, path, body, customer)).status).toBe(403);
  }
  expect(fixture.running.messaging.effects.counts()).toEqual({ pending: 0, dead: 3 });
});

test("lists dead effects page by page, and shows one with its input", async () => {
  const effect = {
    id: ids[0],
    key: expect.any(String),
    name: "call",
    error: "no call",
    attempts: 1,
    retries: 0,
    enqueuedAt: expect.stringMatching(/^\d{4}-.*Z$/),
  };
  const { status, body } = await ask("GET", "?limit=2&name=call");
  expect(status).toBe(200);
  expect(body).toEqual([effect, expect.objectContaining({ id: ids[1] })]);
  expect((await ask("GET", `?after=${ids[1]}`)).body).toMatchObject([{ id: ids[2] }]);
  expect((await ask("GET", "?name=other")).body).toEqual([]);
  expect(await ask("GET", `/${ids[0]}`)).toEqual({
    status: 200,
    body: { ...effect, input: { name: "a" }, actions: [] },
  });
});

test("a retry performs it under the same key; one that fails again is dead again, with who retried it", async () => {
  const { key } = (await ask("GET", `/${ids[0]}`)).body;
  expect((await ask("POST", `/${ids[0]}/retry`)).status).toBe(204);
  await eventually(() => fixture.running.messaging.effects.counts().dead === 3);
  expect((await ask("GET", `/${ids[0]}`)).body).toMatchObject({
    key,
    retries: 1,
    attempts: 1,
    actions: [{ action: "retry", actor: "alice", detail: "after: no call" }],
  });
  fixture.parts.refused.clear();
  expect((await ask("POST", `/${ids[0]}/retry`)).status).toBe(204);
  await eventually(() => fixture.parts.handled().length === 1);
  expect(fixture.parts.handled()).toEqual(["a:called"]);
  expect(await ask("POST", `/${ids[0]}/retry`)).toMatchObject({
    status: 404,
    body: { type: "urn:problem-type:dead-effect-not-found" },
  });
});

test("all of a name are retried at once", async () => {
  fixture.parts.refused.clear();
  expect((await ask("POST", "/retry", { name: "other" })).body).toEqual({ retried: 0 });
  expect((await ask("POST", "/retry", { name: "call" })).body).toEqual({ retried: 3 });
  await eventually(() => fixture.parts.handled().length === 3);
  expect(fixture.parts.handled().sort()).toEqual(["a:called", "b:called", "c:called"]);
});

test("a discard needs a reason, which is recorded; the effect is never performed", async () => {
  expect((await ask("DELETE", `/${ids[0]}`, {})).status).toBe(422);
  expect((await ask("DELETE", `/${ids[0]}`, { reason: "paid by hand" })).status).toBe(204);
  expect((await ask("DELETE", `/${ids[0]}`, { reason: "again" })).status).toBe(404);
  fixture.parts.refused.clear();
  expect((await ask("POST", "/retry", {})).body).toEqual({ retried: 2 });
  await eventually(() => fixture.parts.handled().length === 2);
  expect(fixture.parts.handled().sort()).toEqual(["b:called", "c:called"]);
  expect(
    fixture.database.sql
      .query("SELECT action, actor, detail FROM effect_actions WHERE effect_id = ?")
      .all(ids[0] ?? 0),
  ).toEqual([{ action: "discard", actor: "alice", detail: expect.stringContaining("paid by hand [call ") }]);
});
