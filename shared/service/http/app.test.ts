import { describe, expect, test } from "bun:test";
import { StorageError } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ServiceError } from "../errors.ts";
import { askOnce, serveForTest } from "../testing/http.ts";
import { causeOf, type createHttpApp, HttpProblem, IntegerParam } from "./app.ts";

const closed = { additionalProperties: false } as const;
const Order = Type.Object({ items: Type.Array(Type.String()) }, closed);
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
  app.get("/broken-text", () => Promise.reject("a string"));
  app.get("/broken-answer", () => JSON.parse('{"password":"hunter2"}'), {
    response: Type.Object({ n: Type.Number() }),
  });
  app.get("/busy", () => {
    throw new ServiceError("unavailable", "outbox-full", "Too many messages are in the outbox.", {
      retryAfterS: 1.2,
    });
  });
  app.get("/full", () => Promise.reject(new StorageError("SQLITE_FULL: database or disk is full")));
  app.get("/cause", ({ request }) => causeOf(request));
  app.get("/taken", () => {
    throw new ServiceError("conflict", "order-final", "It is final.", {
      errors: [{ path: "/id", message: "final" }],
    });
  });
  app.get("/gone", () => {
    throw new HttpProblem(410, "gone-for-good", "It was here.", { "x-since": "2025" });
  });
  // A service adds its routes as plugins; the rules must apply to them.
  app.use(
    new Elysia().get("/plugin-broken", () => {
      throw new Error("inside a plugin");
    }),
  );
}

const ask = (path: string, init?: RequestInit) => askOnce(routes, path, init);

describe("a path", () => {
  test("without a route is 404", async () => {
    for (const path of [
      "/nowhere",
      "/orders//",
      "/orders/a/b/c",
      "/..%2f..%2fetc%2fpasswd",
      "/%00",
      "/%zz",
    ]) {
      expect((await ask(path)).body).toMatchObject({ status: 404, type: "urn:problem-type:not-found" });
    }
  });

  test("with another method is 405 and lists the allowed ones", async () => {
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

  test("may be percent-encoded", async () => {
    expect((await ask("/orders/ORDER%5F001")).body).toEqual({ orderId: "ORDER_001" });
  });

  test("has its integers parsed, and refused out of range", async () => {
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

  test("answers HEAD as GET, without a body", async () => {
    const head = await ask("/orders/a", { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, type: "application/json;charset=utf-8" });
    expect((await ask("/nowhere", { method: "HEAD" })).status).toBe(404);
  });
});

describe("an error", () => {
  test.each(["/broken", "/broken-text", "/plugin-broken", "/broken-answer"])(
    "of the service at %s is 500 with a request id, and logged under it",
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

  test("of the disk is 503 without its text", async () => {
    const full = await ask("/full");
    expect(full.body).toEqual({
      type: "urn:problem-type:storage-unavailable",
      title: "Storage unavailable",
      status: 503,
      detail: "Nothing can be stored right now.",
    });
    expect(full.headers.get("retry-after")).toBe("5");
  });

  test("that refuses a request is sent as it is", async () => {
    const busy = await ask("/busy");
    expect(busy.body).toEqual({
      type: "urn:problem-type:outbox-full",
      title: "Outbox full",
      status: 503,
      detail: "Too many messages are in the outbox.",
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

describe("every response", () => {
  test("has the security headers, and its trace", async () => {
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

  test("keeps the headers that its route sets", async () => {
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

  test("is logged at debug, without token or query", async () => {
    const { lines } = await ask("/orders?limit=3&token=hunter2", {
      headers: { authorization: "Bearer hunter2" },
    });
    const entry = lines.map((line) => JSON.parse(line)).find(({ msg }) => msg === "request");
    expect(entry).toMatchObject({ level: "debug", method: "GET", route: "/orders", status: 422 });
    expect(lines.join("")).not.toContain("hunter2");
  });
});

describe("the cause of what a request emits", () => {
  const caller = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };

  test("is the trace of its caller, in the span of the request", async () => {
    const headers = { traceparent: `00-${caller.traceId}-${caller.spanId}-01` };
    const { body, headers: answered } = await ask("/cause", { headers });
    expect(body).toEqual({
      correlationId: caller.traceId,
      causationId: caller.traceId,
      traceparent: answered.get("traceparent"),
    });
    expect(answered.get("traceparent")).not.toContain(caller.spanId);
  });

  test("has the tracestate of its caller, if that has a valid traceparent", async () => {
    const traceparent = `00-${caller.traceId}-${caller.spanId}-01`;
    const tracestateFor = async (headers: Record<string, string>) =>
      (await ask("/cause", { headers })).body as { tracestate?: string };
    expect(await tracestateFor({ traceparent, tracestate: "a=1,b=2" })).toMatchObject({
      tracestate: "a=1,b=2",
    });
    for (const headers of [{ tracestate: "a=1" }, { traceparent, tracestate: "a=".padEnd(513, "x") }]) {
      expect(await tracestateFor(headers)).not.toHaveProperty("tracestate");
    }
  });

  test("is a new trace without one", async () => {
    const { body, headers } = await ask("/cause");
    expect(body).toMatchObject({ traceparent: headers.get("traceparent") });
    expect(body).not.toMatchObject({ correlationId: caller.traceId });
  });

  test("is the same at each call", () => {
    const request = new Request("http://h");
    expect(causeOf(request)).toEqual(causeOf(request));
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
          responses: {
            400: { content: { "application/problem+json": {} } },
            ...{ 403: {}, 413: {}, 415: {}, 422: {}, 500: {} },
          },
        },
        get: {
          parameters: [
            {
              name: "limit",
              in: "query",
              required: false,
              schema: { type: "integer", minimum: 1, maximum: 100 },
            },
          ],
        },
      },
      "/orders/{orderId}": { get: { parameters: [{ name: "orderId", in: "path", required: true }] } },
      "/liveness": { get: {} },
    },
    components: { schemas: { Problem: { type: "object" } }, securitySchemes: {} },
  });
  expect(Object.keys(Object(body).paths)).not.toContain("/openapi/json");
});
