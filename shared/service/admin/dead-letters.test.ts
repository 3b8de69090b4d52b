import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { generateSigningKey } from "../signing-key.ts";
import { DeadLetterFixture, letter, letters, tokenOf } from "../testing/dead-letter-fixture.ts";

let fixture: DeadLetterFixture;
beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
});
afterEach(() => fixture[Symbol.asyncDispose]());

describe("access", () => {
  const requests = [
    ["GET", ""],
    ["GET", "/1"],
    ["PUT", "/1/message", {}],
    ["POST", "/1/replay"],
    ["POST", "/replay", { ids: [1] }],
    ["DELETE", "/1", { reason: "x" }],
  ] as const;

  test("is refused without a token of a published key", async () => {
    const foreign = await tokenOf("admin", "alice", await generateSigningKey());
    for (const [method, path, body] of requests) {
      expect((await fetch(`${fixture.url}/dead-letters${path}`, { method })).status).toBe(401);
      expect((await fixture.ask(method, path, body, foreign)).status).toBe(401);
    }
  });

  test("is refused to a customer", async () => {
    const customer = await tokenOf("customer");
    const [id] = await fixture.park(letter("a", "poison"));
    for (const [method, path, body] of requests) {
      expect(await fixture.ask(method, path, body, customer)).toMatchObject({
        status: 403,
        body: { type: "urn:problem-type:admin-only" },
      });
    }
    expect((await fixture.ask("GET", `/${id}`)).body).toMatchObject({
      replays: 0,
      edited: null,
      actions: [],
    });
  });
});

describe("GET /dead-letters", () => {
  test("lists dead letters oldest first, page by page, without their bytes", async () => {
    const ids = await fixture.park(letter("a", "poison"), letter("a", "1"), letter("a", "2"));
    const { status, body } = await fixture.ask("GET", "?limit=2");
    expect(status).toBe(200);
    expect(body).toEqual([
      {
        id: ids[0],
        topic: "letters",
        partition: expect.any(Number),
        offset: expect.any(Number),
        key: "a",
        reason: "domain",
        error: "no poison",
        attempts: 1,
        replays: 0,
        edited: false,
        bytes: expect.any(Number),
        parkedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      },
      expect.objectContaining({ id: ids[1], reason: "blocked" }),
    ]);
    expect((await fixture.ask("GET", `?after=${ids[1]}`)).body).toMatchObject([{ id: ids[2] }]);
  });

  test("filters by topic, key, reason, error and age", async () => {
    await fixture.park(letter("a", "poison"), letter("a", "1"));
    const found = async (query: string) => (await fixture.ask("GET", query)).body.length;
    expect(await found("?topic=letters&key=a&reason=blocked")).toBe(1);
    expect(await found("?key=b")).toBe(0);
    expect(await found("?error=poison")).toBe(1);
    expect(await found("?olderThan=1h")).toBe(0);
    expect(await found("?olderThan=0s")).toBe(2);
  });

  test.each([
    ["?limit=0", "/limit", "expected an integer from 1 to 500"],
    ["?olderThan=soon", "/olderThan", "expected a duration such as 30s, 15m, 1h or 7d"],
    ["?unknown=1", "/unknown", "is not a known field"],
    ["?reason=bad", "/reason", "expected union value"],
    ["/x", "/id", expect.any(String)],
  ])("refuses %s with the reason", async (query, path, text) => {
    expect(await fixture.ask("GET", query)).toMatchObject({
      status: 422,
      body: { errors: [{ path, message: text }] },
    });
  });
});

describe("GET /dead-letters/:id", () => {
  test("shows all details, bytes as base64 and as text", async () => {
    const envelope = letter("a", "poison");
    const [id] = await fixture.park(envelope, letter("a", "1"));
    const { body } = await fixture.ask("GET", `/${id}`);
    expect(body).toMatchObject({
      id,
      headers: { "content-type": "application/cloudevents+json" },
      raw: {
        text: JSON.stringify(envelope),
        base64: Buffer.from(JSON.stringify(envelope)).toString("base64"),
      },
      decoded: { message: { id: envelope.id, data: { text: "poison" } } },
      error: "no poison",
      stack: expect.stringContaining("DomainError"),
      attempts: 1,
      lineLength: 2,
      actions: [],
    });
  });

  test("shows bytes that are not UTF-8, and an absent value", async () => {
    const headers = {};
    await fixture.broker.publish([
      { topic: letters.name, key: "g", value: new Uint8Array([0xff, 0]), headers },
      { topic: letters.name, key: "n", value: null, headers },
    ]);
    await eventually(() => fixture.running.messaging.deadLetters.count() === 2);
    const shown = await Promise.all(
      (await fixture.ask("GET", "")).body.map(
        async ({ id }: { id: number }) => (await fixture.ask("GET", `/${id}`)).body,
      ),
    );
    expect(shown.find(({ key: name }) => name === "g")).toMatchObject({
      raw: { bytes: 2, text: null, base64: "/wA=" },
      decoded: { problem: expect.stringContaining("not JSON") },
    });
    expect(shown.find(({ key: name }) => name === "n").raw).toBeNull();
  });

  test("is 404 when there is none", async () => {
    expect(await fixture.ask("GET", "/999")).toMatchObject({
      status: 404,
      body: { type: "urn:problem-type:dead-letter-not-found", detail: "There is no dead letter 999." },
    });
  });
});

test("the OpenAPI document describes every route with its body, response and authentication", async () => {
  const document = await (await fetch(new URL("/openapi/json", fixture.url))).json();
  const routes = ["", "/{id}", "/{id}/message", "/{id}/replay", "/replay"].map(
    (path) => `/dead-letters${path}`,
  );
  expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(routes));
  for (const operation of routes.flatMap((route) =>
    Object.values<Record<string, unknown>>(document.paths[route]),
  )) {
    expect(operation).toMatchObject({ security: [{ bearer: ["admin"] }], summary: expect.any(String) });
  }
  const list = document.paths["/dead-letters"].get;
  expect(list.parameters.map(({ name }: { name: string }) => name).sort()).toEqual(
    ["topic", "key", "reason", "error", "olderThan", "after", "limit"].sort(),
  );
  expect(list.responses["200"].content["application/json"].schema.type).toBe("array");
  expect(document.paths["/dead-letters/replay"].post.requestBody).toBeDefined();
});
