import { afterEach, describe, expect, test } from "bun:test";
import { failureOf } from "@distributed-messaging/messaging/testing";
import { clientCredentials } from "./oauth.ts";

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

/** A token endpoint. @returns its address, and the requests that it got */
function serve(answer: (count: number) => Response): { url: string; requests: Request[]; bodies: string[] } {
  const requests: Request[] = [];
  const bodies: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      requests.push(request);
      bodies.push(await request.text());
      return answer(requests.length);
    },
  });
  servers.push(server);
  return { url: `http://127.0.0.1:${server.port}/token`, requests, bodies };
}

const tokenResponse = (token: string, validSeconds?: number) =>
  Response.json({ access_token: token, token_type: "Bearer", expires_in: validSeconds });

describe("clientCredentials", () => {
  test("authenticates the client and asks for the scope, as RFC 6749 says", async () => {
    const { url, requests, bodies } = serve(() => tokenResponse("t1", 300));
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => "s:é", scope: "kafka" });
    expect(await token()).toBe("t1");
    expect(bodies).toEqual(["scope=kafka&grant_type=client_credentials"]);
    // Section 2.3.1: both are form-encoded before they are put together.
    const basic = Buffer.from("order:s%3A%C3%A9").toString("base64");
    expect(requests[0]?.headers.get("authorization")).toBe(`Basic ${basic}`);
  });

  test("reuses a token for a minute, not when it expires within 30 s, and asks once for several callers", async () => {
    let now = 0;
    const { url, requests } = serve((count) => tokenResponse(`t${count}`, 80));
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => "s" }, () => now);
    expect(await Promise.all([token(), token()])).toEqual(["t1", "t1"]);
    now = 49_999;
    expect(await token()).toBe("t1");
    now = 50_000;
    expect(await token()).toBe("t2");
    expect(requests).toHaveLength(2);
  });

  test("a token that is valid for long is renewed after a minute: the issuer may have withdrawn its key", async () => {
    let now = 0;
    const { url } = serve((count) => tokenResponse(`t${count}`, 86_400));
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => "s" }, () => now);
    await token();
    now = 59_999;
    expect(await token()).toBe("t1");
    now = 60_000;
    expect(await token()).toBe("t2");
  });

  test("a token whose validity is not stated is used once", async () => {
    const { url } = serve((count) => tokenResponse(`t${count}`));
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => "s" });
    expect([await token(), await token()]).toEqual(["t1", "t2"]);
  });

  test("after a failure the next call asks again, with the secret of then", async () => {
    let secret = "old";
    const { url, requests } = serve((count) =>
      count === 1 ? Response.json({ error: "invalid_client" }, { status: 400 }) : tokenResponse("t2", 300),
    );
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => secret });
    expect(await failureOf(token())).toContain(`cannot get a token from ${url}: invalid_client (400)`);
    secret = "new";
    expect(await token()).toBe("t2");
    const basic = Buffer.from("order:new").toString("base64");
    expect(requests.at(-1)?.headers.get("authorization")).toBe(`Basic ${basic}`);
  });

  test.each([
    ["a challenge", 401, { "www-authenticate": "Basic" }, '{"error":"invalid_client"}'],
    ["an error that repeats what was sent", 400, {}, '{"error":"bad","error_description":"hunter2 hunter3"}'],
    ["an error page", 502, { "content-type": "text/html" }, "<p>hunter2 hunter3"],
    ["another type of token", 200, {}, '{"access_token":"hunter3","token_type":"DPoP"}'],
    ["no token", 200, {}, '{"token_type":"Bearer","id_token":"hunter3"}'],
  ])("fails with one line and without a secret: %s", async (_, status, headers, body) => {
    const { url } = serve(
      () => new Response(body, { status, headers: { "content-type": "application/json", ...headers } }),
    );
    const token = clientCredentials({
      url: `${url}?key=hunter2`,
      clientId: "o",
      clientSecret: () => "hunter2",
    });
    const error: unknown = await token().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(Bun.inspect(error)).not.toMatch(/hunter[23]/);
    expect(String(error)).toStartWith(`Error: cannot get a token from ${url}: `);
    expect(String(error)).not.toContain("\n");
  });

  test("fails when there is no answer", async () => {
    const { url } = serve(() => tokenResponse("t", 300));
    for (const server of servers.splice(0)) await server.stop(true);
    const token = clientCredentials({ url, clientId: "order", clientSecret: () => "s" });
    expect(await failureOf(token())).toContain(`cannot get a token from ${url}: `);
  });
});
