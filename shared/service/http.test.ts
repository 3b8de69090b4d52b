import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ServiceError } from "./errors.ts";
import { type createHttpApp, HttpProblem, IntegerParam } from "./http.ts";
import { rawRequest, serveForTest } from "./testing.ts";

const closed = { additionalProperties: false } as const;
const Line = Type.Object({ productId: Type.String(), quantity: Type.Integer({ minimum: 1 }) }, closed);
const Order = Type.Object(
  { orderId: Type.Optional(Type.String()), items: Type.Array(Line, { minItems: 1 }) },
  closed,
);
const Id = Type.Object({ orderId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" }) });
const Page = Type.Object({ limit: Type.Optional(IntegerParam({ minimum: 1, maximum: 100 })) }, closed);

function routes(app: ReturnType<typeof createHttpApp>) {
  app.post("/orders", ({ body }) => body, { body: Order });
  app.get("/orders", ({ query: { limit = 20 } }) => ({ limit }), { query: Page });
  app.get("/orders/:orderId", ({ params }) => params, { params: Id });
  app.post("/orders/:orderId/cancel", () => ({ cancelled: true }), { params: Id });
  app.get("/broken", () => {
    throw new Error("SELECT * FROM secrets failed in /srv/app/store.ts");
  });
  app.get("/broken-text", () => Promise.reject("just a text"));
  app.get("/broken-answer", () => JSON.parse('{"password":"hunter2"}'), {
    response: Type.Object({ n: Type.Number() }),
  });
  app.get("/busy", () => {
    throw new ServiceError("unavailable", "outbox-full", "Too much waits to be sent.", { retryAfterS: 1.2 });
  });
  app.get("/taken", () => {
    throw new ServiceError("conflict", "order-final", "It is final.", {
      errors: [{ path: "/id", message: "final" }],
    });
  });
  app.get("/gone", () => {
    throw new HttpProblem(410, "gone-for-good", "It was here.", { "x-since": "2025" });
  });
  // A service keeps its routes in plugins of their own: the rules must reach them.
  app.use(
    new Elysia()
      .post("/plugin", ({ body }) => body, { body: Line })
      .get("/plugin-broken", () => {
        throw new Error("inside a plugin");
      }),
  );
}

const json = { "content-type": "application/json" };
const good = JSON.stringify({ items: [{ productId: "P", quantity: 1 }] });

async function ask(path: string, init?: RequestInit) {
  await using server = await serveForTest(routes);
  const response = await fetch(server.url + path, init);
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  // What was parsed is compared with expected values as a whole.
  const body = type.includes("json") && text !== "" ? (JSON.parse(text) as Record<string, unknown>) : text;
  return { status: response.status, type, headers: response.headers, body, lines: server.lines };
}

const post = (path: string, body: BodyInit, headers: Record<string, string> = json) =>
  ask(path, { method: "POST", body, headers });

function streamOf(text: string, chunk = 1000): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += chunk) controller.enqueue(bytes.slice(at, at + chunk));
      controller.close();
    },
  });
}

describe("a body", () => {
  test("that fits its schema is taken, declared in any case, whole or in chunks", async () => {
    expect(await post("/orders", good)).toMatchObject({ status: 200, body: JSON.parse(good) });
    expect((await post("/orders", good, { "content-type": "Application/JSON; Charset=UTF-8" })).status).toBe(
      200,
    );
    expect((await post("/orders", streamOf(good, 7))).status).toBe(200);
  });

  test("that breaks its schema is answered with each bad field", async () => {
    const body = { items: [{ productId: 1, quantity: 0, extra: 1 }, {}], "a/b~c": 1 };
    const answer = await post("/orders", JSON.stringify(body));
    expect(answer).toMatchObject({
      status: 422,
      type: "application/problem+json",
      body: { type: "urn:problem-type:invalid-input", title: "Invalid input", status: 422 },
    });
    expect(answer.body).toHaveProperty("errors", [
      { path: "/a~1b~0c", message: "is not a known field" },
      { path: "/items/0/extra", message: "is not a known field" },
      { path: "/items/0/productId", message: "expected string" },
      { path: "/items/0/quantity", message: "expected integer to be greater or equal to 1" },
      { path: "/items/1/productId", message: "is missing" },
      { path: "/items/1/quantity", message: "is missing" },
    ]);
  });

  test("of a plugin's route follows the same rules", async () => {
    const answer = await post("/plugin", JSON.stringify({ productId: "P", quantity: 1, extra: 1 }));
    expect(answer.body).toMatchObject({ status: 422, errors: [{ path: "/extra" }] });
  });

  test.each(["null", "1", '"x"', "[]", "true"])("that is %s and no object is invalid", async (body) => {
    expect((await post("/orders", body)).body).toMatchObject({ status: 422, errors: [{ path: "" }] });
  });

  test.each([
    ["an open brace", "{"],
    ["single quotes", "{'items': 1}"],
    ["something behind it", `${good} x`],
    ["a lone surrogate's bytes", new Uint8Array([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
    ["bytes that are no UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["a NUL", new Uint8Array([0])],
    ["brackets that never close", "[".repeat(60_000)],
    ["brackets that do, too deep", "[".repeat(30_000) + "]".repeat(30_000)],
    ["objects that are too deep", `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`],
  ])("with %s is malformed", async (_what, body) => {
    const answer = await post("/orders", body);
    expect(answer.body).toMatchObject({ status: 400, type: "urn:problem-type:malformed-body" });
    expect(answer.lines).not.toContainEqual(expect.stringContaining('"level":"error"'));
  });

  test("with brackets inside its strings is not too deep", async () => {
    const body = JSON.stringify({ items: [{ productId: `\\"${"[".repeat(500)}`, quantity: 1 }] });
    expect((await post("/orders", body)).status).toBe(200);
  });

  test("cannot reach a prototype, and the last of two equal keys counts", async () => {
    const proto = await post(
      "/orders",
      '{"__proto__":{"admin":true},"items":[{"productId":"P","quantity":1}]}',
    );
    expect(proto.body).toMatchObject({ status: 422, errors: [{ path: "/__proto__" }] });
    const built = await post("/orders", '{"constructor":{"prototype":{"x":1}},"items":[]}');
    expect(built.status).toBe(422);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
    expect((await post("/orders", `{"items":[],${good.slice(1)}`)).status).toBe(200);
  });

  test("that is absent is invalid where one is needed and fine where none is", async () => {
    expect((await ask("/orders", { method: "POST" })).body).toMatchObject({
      status: 422,
      errors: [{ path: "" }],
    });
    expect((await ask("/orders/a/cancel", { method: "POST" })).body).toEqual({ cancelled: true });
    expect((await ask("/orders/a/cancel", { method: "POST", headers: json })).status).toBe(200);
  });

  test.each([
    ["nothing", {}],
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["another charset", { "content-type": "application/json; charset=utf-16" }],
    ["something like JSON", { "content-type": "application/jsonx" }],
    ["rubbish", { "content-type": ";;;" }],
    ["a compression", { "content-type": "application/json", "content-encoding": "gzip" }],
  ])("declared as %s is unsupported", async (_what, headers: Record<string, string>) => {
    expect((await post("/orders", new TextEncoder().encode(good), headers)).body).toMatchObject({
      status: 415,
      type: "urn:problem-type:unsupported-media-type",
    });
  });

  const padded = (bytes: number) => good.replace("{", `{${" ".repeat(bytes - good.length)}`);

  test("may have 64 KiB and not a byte more, declared or not", async () => {
    const tooLarge = { status: 413, type: "application/problem+json" };
    expect((await post("/orders", padded(64 * 1024))).status).toBe(200);
    expect(await post("/orders", padded(64 * 1024 + 1))).toMatchObject(tooLarge);
    expect((await post("/orders", streamOf(padded(64 * 1024)))).status).toBe(200);
    expect(await post("/orders", streamOf(padded(64 * 1024 + 1)))).toMatchObject(tooLarge);
    expect(await post("/nowhere", padded(64 * 1024 + 1))).toMatchObject(tooLarge);
  });

  test("that claims to be huge is refused before it is sent", async () => {
    await using server = await serveForTest(routes);
    const head = "POST /orders HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    const claim = `${head}Content-Length: 9999999999\r\n\r\n{`;
    expect(await rawRequest(server.listening.port, claim, "}")).toStartWith("HTTP/1.1 413 ");
    const endless = `${head}Transfer-Encoding: chunked\r\n\r\n${"1000\r\n".concat("x".repeat(4096), "\r\n").repeat(40)}`;
    expect(await rawRequest(server.listening.port, endless, "}")).toStartWith("HTTP/1.1 413 ");
  });
});

describe("an address", () => {
  test("that nothing is at is 404", async () => {
    for (const path of ["/nowhere", "/orders/a/b/c", "/..%2f..%2fetc%2fpasswd", "/%00", "/%zz"]) {
      expect((await ask(path)).body).toMatchObject({ status: 404, type: "urn:problem-type:not-found" });
    }
  });

  test("with another method is 405 and says which it takes", async () => {
    const answer = await ask("/orders", { method: "DELETE" });
    expect(answer.body).toMatchObject({ status: 405, type: "urn:problem-type:method-not-allowed" });
    expect(answer.headers.get("allow")).toBe("GET, HEAD, POST");
    expect((await ask("/orders/x", { method: "PUT", body: "x" })).headers.get("allow")).toBe("GET, HEAD");
    expect((await ask("/orders/x/cancel")).headers.get("allow")).toBe("POST");
  });

  test.each([
    "a%20b",
    "%zz",
    "%ff%fe",
    "%00",
    "a%2Fb",
    "é",
    "x".repeat(65),
    "..%2f",
    "%F0%9F%98%80",
    "a;b",
    "*",
  ])("with %p for an id is invalid", async (id) => {
    expect((await ask(`/orders/${id}`)).body).toMatchObject({ status: 422, errors: [{ path: "/orderId" }] });
  });

  test("may write its characters as percent signs", async () => {
    expect((await ask("/orders/ORDER%5F001")).body).toEqual({ orderId: "ORDER_001" });
  });

  test("has its numbers read and their range kept", async () => {
    expect((await ask("/orders")).body).toEqual({ limit: 20 });
    expect((await ask("/orders?limit=5")).body).toEqual({ limit: 5 });
    for (const limit of ["0", "101", "abc", "", "1.5", "1e1", "-1", "%zz", "9".repeat(400), "NaN", "+5"]) {
      expect((await ask(`/orders?limit=${limit}`)).body).toMatchObject({
        status: 422,
        errors: [{ path: "/limit", message: "expected an integer from 1 to 100" }],
      });
    }
    expect((await ask("/orders?foo=1")).body).toMatchObject({ status: 422, errors: [{ path: "/foo" }] });
    expect((await ask("/orders?__proto__=1")).status).toBe(422);
  });

  test("is answered to HEAD as to GET, without a body", async () => {
    const head = await ask("/orders/a", { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, type: "application/json;charset=utf-8" });
    expect((await ask("/nowhere", { method: "HEAD" })).status).toBe(404);
  });
});

describe("a failure", () => {
  test.each(["/broken", "/broken-text", "/plugin-broken", "/broken-answer"])(
    "of ours at %s shows an id, and the log has the rest under it",
    async (path) => {
      const { body, status, lines } = await ask(path);
      expect(status).toBe(500);
      expect(body).toEqual({
        type: "urn:problem-type:internal-error",
        title: "Internal error",
        status: 500,
        detail: "Something went wrong here. The log has more under the request id.",
        requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      const entry = lines.map((line) => JSON.parse(line)).find(({ level }) => level === "error");
      expect(entry).toMatchObject({ requestId: Object(body).requestId, method: "GET", route: path });
      expect(lines.join("")).not.toContain("hunter2");
    },
  );

  test("that a service means is told as it says", async () => {
    const busy = await ask("/busy");
    expect(busy.body).toEqual({
      type: "urn:problem-type:outbox-full",
      title: "Outbox full",
      status: 503,
      detail: "Too much waits to be sent.",
    });
    expect(busy.headers.get("retry-after")).toBe("2");
    expect((await ask("/taken")).body).toMatchObject({
      status: 409,
      errors: [{ path: "/id", message: "final" }],
    });
    const gone = await ask("/gone");
    expect(gone.body).toMatchObject({ status: 410, type: "urn:problem-type:gone-for-good" });
    expect(gone.headers.get("x-since")).toBe("2025");
  });
});

describe("every answer", () => {
  test("keeps browsers from guessing, framing and storing, and tells its trace", async () => {
    for (const path of ["/orders", "/nowhere", "/broken"]) {
      const { headers } = await ask(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
      expect(headers.get("traceparent")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      expect(headers.get("x-powered-by")).toBeNull();
    }
  });

  test("leaves a route its own headers", async () => {
    await using server = await serveForTest((app) => {
      app.get("/page", ({ set }) => {
        set.headers["cache-control"] = "max-age=60";
        return new Response("<p>", {
          headers: { "content-type": "text/html", "content-security-policy": "x" },
        });
      });
    });
    const { headers } = await fetch(`${server.url}/page`);
    expect(headers.get("cache-control")).toBe("max-age=60");
    expect(headers.get("content-security-policy")).toBe("x");
  });

  test("is logged at debug, without what may be secret", async () => {
    const { lines } = await ask("/orders?limit=3&token=hunter2", {
      headers: { authorization: "Bearer hunter2" },
    });
    const entry = lines.map((line) => JSON.parse(line)).find(({ msg }) => msg === "request");
    expect(entry).toMatchObject({ level: "debug", method: "GET", route: "/orders", status: 422 });
    expect(lines.join("")).not.toContain("hunter2");
  });
});

test("GET /openapi/json describes the routes", async () => {
  const { status, body } = await ask("/openapi/json");
  expect(status).toBe(200);
  expect(body).toMatchObject({
    openapi: "3.1.1",
    info: { title: "test" },
    paths: {
      "/orders": {
        post: {
          requestBody: { content: { "application/json": { schema: { required: ["items"] } } } },
          responses: { default: { content: { "application/problem+json": {} } } },
        },
        get: { parameters: [{ name: "limit", in: "query", required: false }] },
      },
      "/orders/{orderId}": { get: { parameters: [{ name: "orderId", in: "path", required: true }] } },
      "/liveness": { get: {} },
    },
    components: { schemas: { Problem: { type: "object" } }, securitySchemes: { bearer: { type: "http" } } },
  });
  expect(Object.keys(Object(body).paths)).not.toContain("/openapi/json");
});
