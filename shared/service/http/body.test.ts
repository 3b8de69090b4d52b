import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { askOnce, serveForTest } from "../testing/http.ts";
import { rawRequest } from "../testing/raw-request.ts";
import type { createHttpApp } from "./app.ts";

const closed = { additionalProperties: false } as const;
const Line = Type.Object({ productId: Type.String(), quantity: Type.Integer({ minimum: 1 }) }, closed);
const Order = Type.Object({ items: Type.Array(Line, { minItems: 1 }) }, closed);

function routes(app: ReturnType<typeof createHttpApp>) {
  app.post("/orders", ({ body }) => body, { body: Order });
  app.post("/orders/:orderId/cancel", () => ({ cancelled: true }));
  // A service adds its routes as plugins; the rules must apply to them.
  app.use(new Elysia().post("/plugin", ({ body }) => body, { body: Line }));
}

const json = { "content-type": "application/json" };
const good = JSON.stringify({ items: [{ productId: "P", quantity: 1 }] });

const ask = (path: string, init?: RequestInit) => askOnce(routes, path, init);
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
  test("that matches its schema is accepted, with a media type in any case, whole or in chunks", async () => {
    expect(await post("/orders", good)).toMatchObject({ status: 200, body: JSON.parse(good) });
    expect((await post("/orders", good, { "content-type": "Application/JSON; Charset=UTF-8" })).status).toBe(
      200,
    );
    expect((await post("/orders", streamOf(good, 7))).status).toBe(200);
  });

  test("that breaks its schema is refused with each invalid field", async () => {
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

  test.each(["toString", "\\u0074oString", "to\\u0053tring"])(
    "that has a member %s is refused like one with another unknown field",
    async (name) => {
      const answer = await post("/orders", `{"items":[{"${name}":1}]}`);
      const errors = [{ path: "/items/0/toString", message: "is not a known field" }];
      expect(answer).toMatchObject({ status: 422, body: { errors } });
    },
  );

  test("of a plugin's route follows the same rules", async () => {
    const answer = await post("/plugin", JSON.stringify({ productId: "P", quantity: 1, extra: 1 }));
    expect(answer.body).toMatchObject({ status: 422, errors: [{ path: "/extra" }] });
  });

  test.each(["null", "1", '"x"', "[]", "true"])(
    "that is %s is invalid: it is not an object",
    async (body) => {
      expect((await post("/orders", body)).body).toMatchObject({ status: 422, errors: [{ path: "" }] });
    },
  );

  test.each([
    ["an open brace", "{"],
    ["single quotes", "{'items': 1}"],
    ["trailing characters", `${good} x`],
    ["a lone surrogate's bytes", new Uint8Array([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
    ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["a NUL", new Uint8Array([0])],
    ["brackets that never close", "[".repeat(60_000)],
    ["brackets nested too deeply", "[".repeat(30_000) + "]".repeat(30_000)],
    ["objects nested too deeply", `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`],
  ])("with %s is malformed", async (_what, body) => {
    const answer = await post("/orders", body);
    expect(answer.body).toMatchObject({ status: 400, type: "urn:problem-type:malformed-body" });
    expect(answer.lines).not.toContainEqual(expect.stringContaining('"level":"error"'));
  });

  test.each(["1e400", "-1e400", "1e-400", "1.5", "-0.5", "01"])(
    "with the number %s for a quantity is refused",
    async (quantity) => {
      const answer = await post("/orders", good.replace('"quantity":1', `"quantity":${quantity}`));
      expect([400, 422]).toContain(answer.status);
    },
  );

  test("with brackets inside its strings is not nested", async () => {
    const body = JSON.stringify({ items: [{ productId: `\\"${"[".repeat(500)}`, quantity: 1 }] });
    expect((await post("/orders", body)).status).toBe(200);
  });

  test("cannot change a prototype, and the last of two equal keys counts", async () => {
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

  test("is required where the route has a schema for it", async () => {
    expect((await ask("/orders", { method: "POST" })).body).toMatchObject({
      status: 422,
      errors: [{ path: "" }],
    });
    expect((await ask("/orders/a/cancel", { method: "POST" })).body).toEqual({ cancelled: true });
    expect((await ask("/orders/a/cancel", { method: "POST", headers: json })).status).toBe(200);
  });

  test.each([
    ["no media type", {}],
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["another charset", { "content-type": "application/json; charset=utf-16" }],
    ["a similar media type", { "content-type": "application/jsonx" }],
    ["an invalid media type", { "content-type": ";;;" }],
    ["a compression", { "content-type": "application/json", "content-encoding": "gzip" }],
  ])("declared as %s is unsupported", async (_what, headers: Record<string, string>) => {
    expect((await post("/orders", new TextEncoder().encode(good), headers)).body).toMatchObject({
      status: 415,
      type: "urn:problem-type:unsupported-media-type",
    });
  });

  const padded = (bytes: number) => good.replace("{", `{${" ".repeat(bytes - good.length)}`);

  test("may have 64 KiB and no more, declared or chunked", async () => {
    const tooLarge = { status: 413, type: "application/problem+json" };
    expect((await post("/orders", padded(64 * 1024))).status).toBe(200);
    expect(await post("/orders", padded(64 * 1024 + 1))).toMatchObject(tooLarge);
    expect((await post("/orders", streamOf(padded(64 * 1024)))).status).toBe(200);
    expect(await post("/orders", streamOf(padded(64 * 1024 + 1)))).toMatchObject(tooLarge);
    expect(await post("/nowhere", padded(64 * 1024 + 1))).toMatchObject(tooLarge);
  });

  test("that is too long is refused before all of it is sent", async () => {
    await using server = await serveForTest(routes);
    const head = "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const declared = `${head}Content-Length: 9999999999\r\n\r\n{`;
    expect(await rawRequest(server.listening.port, declared, "}")).toStartWith("HTTP/1.1 413 ");
    const endless = `${head}Transfer-Encoding: chunked\r\n\r\n${"1000\r\n".concat("x".repeat(4096), "\r\n").repeat(40)}`;
    expect(await rawRequest(server.listening.port, endless, "}")).toStartWith("HTTP/1.1 413 ");
  });
});
