import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { askOnce } from "../testing/http.ts";
import { type createHttpApp, documented, IntegerParam } from "./app.ts";
import { exampleOf } from "./examples.ts";

const Order = Type.Object({ orderId: Type.String() });

function routes(app: ReturnType<typeof createHttpApp>) {
  app.get("/orders", () => [], {
    query: Type.Object({ limit: Type.Optional(IntegerParam({ minimum: 1, maximum: 9 })) }),
    detail: documented("Orders", {
      answers: { 200: Type.Array(Order) },
      access: "customer",
      tag: { name: "orders", description: "Of a customer" },
      webSocket: "It sends orders.",
    }),
  });
  app.post("/orders/:orderId/cancel", () => ({ orderId: "A" }), {
    params: Type.Object({ orderId: Type.String() }),
    body: Type.Optional(Type.Object({})),
    detail: documented("Cancel", {
      answers: { 202: Order, 204: null },
      problems: [404, 409],
      access: "admin",
      idempotent: true,
    }),
  });
  app.get("/text", () => "x", {
    detail: documented("Text", { answers: { 200: Type.String({ contentMediaType: "text/plain" }) } }),
  });
}

async function operation(path: string, method: string) {
  const { body } = await askOnce(routes, "/openapi/json");
  return Object(body).paths[path][method];
}

test("an operation lists its answers, its problems, those of its access, and those of every route", async () => {
  const { responses, security, parameters } = await operation("/orders", "get");
  expect(Object.keys(responses)).toEqual(
    ["101", "200", "400", "401", "403", "413", "422", "429", "500", "503"].sort(),
  );
  expect(responses["200"]).toEqual({
    description: "OK",
    content: {
      "application/json": {
        schema: { type: "array", items: expect.objectContaining({ type: "object" }) },
        example: [{ orderId: "ORDER_001" }],
      },
    },
  });
  expect(responses["401"]).toMatchObject({ headers: { "WWW-Authenticate": {} } });
  expect(responses["503"]).toMatchObject({ headers: { "Retry-After": { schema: { type: "integer" } } } });
  expect(security).toEqual([{ bearer: [] }, { webSocketProtocol: [] }]);
  const schema = { type: "integer", minimum: 1, maximum: 9 };
  expect(parameters).toEqual([{ name: "limit", in: "query", required: false, schema, example: 1 }]);
});

test("an idempotent one has its header beside its other parameters, and its body is not required if it is optional", async () => {
  const { responses, security, parameters, requestBody } = await operation(
    "/orders/{orderId}/cancel",
    "post",
  );
  expect(Object.keys(responses)).toEqual(
    ["202", "204", "400", "401", "403", "404", "409", "413", "415", "422", "500", "503"].sort(),
  );
  expect(responses["202"]).toMatchObject({ headers: { "Idempotent-Replayed": {} } });
  expect(responses["204"].content).toBeUndefined();
  expect(security).toEqual([{ bearer: ["admin"] }]);
  expect(parameters.map(({ name, in: place }: { name: string; in: string }) => `${place} ${name}`)).toEqual([
    "path orderId",
    "header Idempotency-Key",
  ]);
  expect(requestBody).toMatchObject({ required: false });
});

test("a body that is no JSON has its media type", async () => {
  const { responses } = await operation("/text", "get");
  expect(Object.keys(responses["200"].content)).toEqual(["text/plain"]);
});

test("tags and security schemes are those that an operation has, and the licence is the given one", async () => {
  const { body } = await askOnce(routes, "/openapi/json");
  const { tags, components, info } = Object(body);
  expect(tags.map(({ name }: { name: string }) => name)).toEqual(["health", "orders"]);
  expect(Object.keys(components.securitySchemes).sort()).toEqual(["bearer", "webSocketProtocol"]);
  expect(info).not.toHaveProperty("license");
  expect((await operation("/text", "get")).security).toEqual([]);
});

test("an example is one of the schema's own, or is made from it", () => {
  const made = Type.Object({
    productId: Type.String({ pattern: "^[A-Z_0-9]+$" }),
    currency: Type.String({ pattern: "^[A-Z]{3}$" }),
    at: Type.String({ format: "date-time" }),
    count: Type.Integer({ minimum: 3 }),
    state: Type.Union([Type.Literal("on"), Type.Literal("off")]),
    byName: Type.Record(Type.String(), Type.Number()),
    none: Type.Null(),
  });
  expect(exampleOf(Type.Array(made))).toEqual([
    {
      productId: "PRODUCT_001",
      currency: "EUR",
      at: "2026-01-31T12:00:00.000Z",
      count: 3,
      state: "on",
      byName: { name: 1 },
      none: null,
    },
  ]);
  expect(exampleOf(Type.String({ examples: ["mine"] }))).toBe("mine");
});

test("the page has what the document has, as text", async () => {
  const { status, type, headers, body } = await askOnce((app) => {
    app.get("/escaped", () => "", {
      detail: documented('A <script>"quoted" & `coded`', { answers: { 200: Order } }),
    });
  }, "/openapi");
  expect([status, type]).toEqual([200, "text/html; charset=utf-8"]);
  expect(headers.get("content-security-policy")).toStartWith("default-src 'none'; style-src 'sha256-");
  expect(body).toContain("A &lt;script&gt;&quot;quoted&quot; &amp; <code>coded</code>");
  expect(body).not.toContain("<script");
  expect(body).toContain("orderId: string");
});
