import { describe, expect, test } from "bun:test";
import { serveForTest, type TestServer } from "../testing/http.ts";
import { forward } from "./forward.ts";

/** What is forwarded is for the service, whatever the address of the instance is. */
const ANSWERS_TO_NAME = { allowed: { hosts: ["test"] } };

/** A server that has every request answered by another one. */
const forwarding = (leader: () => string | undefined | null, limitMs?: number): Promise<TestServer> =>
  serveForTest(
    (app) => app.onRequest(({ request }) => forward(request, "test", leader, limitMs)),
    ANSWERS_TO_NAME,
  );

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

/** Of a wait that nothing ends. */
const SHORT_MS = 200;
const NO_LEADER = [503, "5", "urn:problem-type:no-leader"];

test("without a leader, and with one that does not answer, it is 503", async () => {
  await using none = await forwarding(() => undefined, SHORT_MS);
  expect(await problemOf(none)).toEqual(NO_LEADER);
  await using gone = await forwarding(() => none.url.replace(/\d+$/, "1"), SHORT_MS);
  expect(await problemOf(gone)).toEqual(NO_LEADER);
});

test("an instance that will know of no leader does not wait for one", async () => {
  let count = 0;
  await using stopped = await forwarding(() => {
    count += 1;
    return null;
  });
  expect(await problemOf(stopped)).toEqual(NO_LEADER);
  expect(count).toBe(1);
});

test("two that take each other for the leader answer 503", async () => {
  let other: string | undefined;
  await using first = await forwarding(() => other, SHORT_MS);
  await using second = await forwarding(() => first.url, SHORT_MS);
  other = second.url;
  expect(await problemOf(first)).toEqual(NO_LEADER);
  expect(await problemOf(second)).toEqual(NO_LEADER);
});

/** A server of which every request is counted, and whose answer is given. */
async function counted(answer: () => Response | Promise<Response>) {
  const requests: string[] = [];
  const server = await serveForTest(
    (app) =>
      app.onRequest(async ({ request }) => {
        requests.push(`${request.method} ${await request.text()}`);
        return answer();
      }),
    ANSWERS_TO_NAME,
  );
  return { server, requests };
}

const post = (url: string) =>
  fetch(`${url}/things`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"a":1}',
  });

describe("while the leader changes", () => {
  /** Who leads: first nobody, then one who has ended, one who does not lead yet, and at last one who does. */
  async function change() {
    const { server: leader, requests } = await counted(() => new Response("done", { status: 202 }));
    const ended = await serveForTest(() => {});
    await ended.listening.stop(0);
    const notYet = await forwarding(() => undefined, 0);
    const addresses = [undefined, ended.url, notYet.url, leader.url];
    const asked: (string | undefined)[] = [];
    const follower = await forwarding(() => {
      const address = addresses[Math.min(asked.length, addresses.length - 1)];
      asked.push(address);
      return address;
    });
    return {
      ...{ url: follower.url, requests, asked, addresses },
      async [Symbol.asyncDispose]() {
        for (const server of [follower, notYet, leader]) await server[Symbol.asyncDispose]();
      },
    };
  }

  test("a request waits for the next one, and is done once", async () => {
    await using under = await change();
    const answer = await post(under.url);
    expect([answer.status, await answer.text()]).toEqual([202, "done"]);
    expect(under.requests).toEqual(['POST {"a":1}']);
    expect(under.asked).toEqual(under.addresses);
  });

  test("what may have been done is not asked for again, but for what may be done twice", async () => {
    let answers = 0;
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          answers += 1;
          // The second answer is whole.
          if (answers % 2 === 1) socket.terminate();
          else socket.end("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
        },
      },
    });
    await using follower = await forwarding(() => `http://127.0.0.1:${server.port}`, SHORT_MS);
    expect((await post(follower.url)).status).toBe(503);
    expect(answers).toBe(1);
    answers = 0;
    const read = await fetch(`${follower.url}/things`);
    expect([read.status, await read.text(), answers]).toEqual([200, "done", 2]);
  });

  test("any other 503 is the answer", async () => {
    const { server: leader, requests } = await counted(() =>
      Response.json({ type: "full" }, { status: 503 }),
    );
    await using _ = leader;
    await using follower = await forwarding(() => leader.url);
    const answer = await post(follower.url);
    expect([answer.status, await answer.json()]).toEqual([503, { type: "full" }]);
    expect(requests).toHaveLength(1);
  });
});
