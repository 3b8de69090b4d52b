import { describe, expect, test } from "bun:test";
import { acceptSubprotocol, authenticate, issueToken, TokenVerifier } from "../identity.ts";
import { generateSigningKey } from "../signing-key.ts";
import { serveForTest } from "../testing/http.ts";
import { keySource } from "../testing/keys.ts";
import { rawRequest } from "../testing/raw-request.ts";
import type { createHttpApp } from "./app.ts";

const key = await generateSigningKey();
const system = { issuer: "test", audience: "test" };
const verifier = new TokenVerifier(
  system,
  keySource((id) => (id === key.keyId ? key.publicJwk : undefined)),
);
const claims = { ...system, customerId: "CUSTOMER_001", role: "customer", keyId: key.keyId } as const;
const token = await issueToken(key.privateJwk, { ...claims, now: Date.now(), ttlS: 60 });
const expired = await issueToken(key.privateJwk, { ...claims, now: Date.now() - 3_600_000, ttlS: 60 });

/**
 * A service serves a GET route and a WebSocket at one path like this: `resolve` runs before the upgrade, so that a
 * refusal is an HTTP response that a client can read, and both get its result.
 */
function routes(app: ReturnType<typeof createHttpApp>) {
  app
    .resolve(async ({ request }) => ({ identity: await authenticate(request, verifier) }))
    .get("/notifications", ({ identity }) => ({ of: identity.customerId }))
    .ws("/notifications", {
      upgrade: ({ request, set }) => {
        Object.assign(set.headers, acceptSubprotocol(request));
      },
      open: (socket) => void socket.send({ hello: socket.data.identity.customerId }),
      message: (socket, message) => void socket.send({ echo: message }),
    });
}

const HANDSHAKE = [
  "Host: localhost",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
];
const handshake = (path: string, ...headers: string[]) =>
  `${[`GET ${path} HTTP/1.1`, ...HANDSHAKE, "Upgrade: websocket", ...headers].join("\r\n")}\r\n\r\n`;

/** A client. `next` resolves to its next message. */
function open(url: string, protocols: string[] = []) {
  const socket = new WebSocket(url.replace("http", "ws"), protocols);
  const received: string[] = [];
  const waiting: (() => void)[] = [];
  socket.onmessage = ({ data }) => {
    received.push(String(data));
    waiting.shift()?.();
  };
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.onclose = resolve;
  });
  const next = async () => {
    if (received.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return JSON.parse(received.shift() ?? "null");
  };
  return { socket, closed, next };
}

describe("a WebSocket and a GET route at one path", () => {
  test("are both served to a client with a token", async () => {
    await using server = await serveForTest(routes);
    const url = `${server.url}/notifications`;
    const page = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    expect(await page.json()).toEqual({ of: "CUSTOMER_001" });

    for (const [address, protocols, accepted] of [
      [url, ["bearer", token], "bearer"],
      [`${url}?token=${token}`, [], ""],
    ] as const) {
      const client = open(address, [...protocols]);
      expect(await client.next()).toEqual({ hello: "CUSTOMER_001" });
      expect(client.socket.protocol).toBe(accepted);
      client.socket.send("hey");
      expect(await client.next()).toEqual({ echo: "hey" });
      client.socket.close(1000);
      expect((await client.closed).code).toBe(1000);
    }
    expect(server.lines.join("")).not.toContain(token);
  });

  test("refuse a client without a valid token with 401, before an upgrade", async () => {
    await using server = await serveForTest(routes);
    const { port } = server.listening;
    const page = await fetch(`${server.url}/notifications`);
    expect(page.status).toBe(401);
    expect(page.headers.get("www-authenticate")).toStartWith("Bearer");
    for (const [bytes, code] of [
      [handshake("/notifications"), "token-missing"],
      [handshake("/notifications?token=x"), "token-invalid"],
      [handshake("/notifications", `Sec-WebSocket-Protocol: bearer, ${expired}`), "token-expired"],
    ] as const) {
      const answer = await rawRequest(port, bytes, "}");
      expect(answer).toStartWith("HTTP/1.1 401 ");
      expect(answer.toLowerCase()).toContain("content-type: application/problem+json");
      expect(answer).toContain(`urn:problem-type:${code}`);
    }
    const browser = open(`${server.url}/notifications`, ["bearer", "x"]);
    expect((await browser.closed).wasClean).toBe(false);
  });

  test("accept an upgrade in any case, and refuse an invalid handshake", async () => {
    await using server = await serveForTest(routes);
    const { port } = server.listening;
    const request = handshake(`/notifications?token=${token}`);
    expect(await rawRequest(port, request.replace("websocket", "WebSocket"), "hello")).toStartWith(
      "HTTP/1.1 101 ",
    );
    for (const broken of ["", "Sec-WebSocket-Key: x\r\n"]) {
      const answer = await rawRequest(port, request.replace(/Sec-WebSocket-Key:[^\r]*\r\n/, broken), "}");
      expect(answer).toStartWith("HTTP/1.1 400 ");
      expect(answer).toContain("urn:problem-type:malformed-handshake");
    }
    const versionless = request.replace(/Sec-WebSocket-Version:[^\r]*\r\n/, "");
    expect(await rawRequest(port, versionless, "\r\n\r\n")).toStartWith("HTTP/1.1 426 ");
  });

  test("answer 426 to GET where there is only a WebSocket", async () => {
    await using server = await serveForTest((app) => void app.ws("/push", {}));
    const response = await fetch(`${server.url}/push`);
    expect(response.headers.get("upgrade")).toBe("websocket");
    expect(await response.json()).toMatchObject({ status: 426, type: "urn:problem-type:upgrade-required" });
    expect((await fetch(`${server.url}/push`, { method: "POST" })).status).toBe(405);
  });

  test("are closed with 1001 when the service stops", async () => {
    const server = await serveForTest(routes);
    const client = open(`${server.url}/notifications?token=${token}`);
    await client.next();
    await server.listening.stop(10_000);
    expect(await client.closed).toMatchObject({ code: 1001, reason: "the service is stopping" });
  });

  test("limit the length of a message", async () => {
    await using server = await serveForTest(routes);
    const client = open(`${server.url}/notifications?token=${token}`);
    await client.next();
    client.socket.send("x".repeat(16 * 1024 + 1));
    expect((await client.closed).code).not.toBe(1000);
    expect((await fetch(`${server.url}/liveness`)).status).toBe(200);
  });
});
