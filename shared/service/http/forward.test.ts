import { expect, test } from "bun:test";
import { serveForTest, type TestServer } from "../testing/http.ts";
import { forward } from "./forward.ts";

/** What is forwarded is for the service, whatever the address of the instance is. */
const ANSWERS_TO_NAME = { allowed: { hosts: ["test"] } };

/** A server that has every request answered by another one. */
const forwarding = (leader: () => string | undefined): Promise<TestServer> =>
  serveForTest((app) => app.onRequest(({ request }) => forward(request, "test", leader())), ANSWERS_TO_NAME);

async function withLeader() {
  const leader = await serveForTest(
    (app) =>
      app
        .get("/things/:id", ({ params: { id }, query, request: { headers } }) =>
          Response.json(
            { id, query, host: headers.get("host"), token: headers.get("authorization") },
            { headers: { "idempotent-replayed": "true" } },
          ),
        )
        .post("/things", ({ body, set }) => {
          set.status = 202;
          return body;
        }),
    ANSWERS_TO_NAME,
  );
  const follower = await forwarding(() => leader.url);
  return {
    url: follower.url,
    async [Symbol.asyncDispose]() {
      await follower[Symbol.asyncDispose]();
      await leader[Symbol.asyncDispose]();
    },
  };
}

test("a request and its answer pass through whole: path, query, token, status, headers", async () => {
  await using server = await withLeader();
  const answer = await fetch(`${server.url}/things/a%20b?x=1&y=%2F`, {
    headers: { authorization: "Bearer t" },
  });
  expect(answer.headers.get("idempotent-replayed")).toBe("true");
  expect([answer.status, await answer.json()]).toEqual([
    200,
    { id: "a b", query: { x: "1", y: "/" }, host: "test", token: "Bearer t" },
  ]);
});

test("so do a body, and the refusal of one", async () => {
  await using server = await withLeader();
  const post = (body: string, type = "application/json") =>
    fetch(`${server.url}/things`, { method: "POST", headers: { "content-type": type }, body });
  const accepted = await post(JSON.stringify({ text: "ä".repeat(10_000) }));
  expect([accepted.status, await accepted.json()]).toEqual([202, { text: "ä".repeat(10_000) }]);
  expect((await post("{")).status).toBe(400);
  expect((await post("x", "text/plain")).status).toBe(415);
  expect((await fetch(`${server.url}/nothing`)).status).toBe(404);
  const head = await fetch(`${server.url}/things/a`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
});

async function problemOf(server: TestServer): Promise<unknown> {
  const answer = await fetch(`${server.url}/things/a`);
  const { type }: { type: string } = await answer.json();
  return [answer.status, answer.headers.get("retry-after"), type];
}

const NO_LEADER = [503, "5", "urn:problem-type:no-leader"];

test("without a leader, and with one that does not answer, it is 503", async () => {
  await using none = await forwarding(() => undefined);
  expect(await problemOf(none)).toEqual(NO_LEADER);
  await using gone = await forwarding(() => none.url.replace(/\d+$/, "1"));
  expect(await problemOf(gone)).toEqual(NO_LEADER);
});

test("two that take each other for the leader answer 503", async () => {
  let other: string | undefined;
  await using first = await forwarding(() => other);
  await using second = await forwarding(() => first.url);
  other = second.url;
  expect(await problemOf(first)).toEqual(NO_LEADER);
  expect(await problemOf(second)).toEqual(NO_LEADER);
});
