import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { askOnce } from "../testing/http.ts";
import { type createHttpApp, documented, IntegerParam } from "./app.ts";

const Order = Type.Object({ orderId: Type.String() });

function routes(app: ReturnType<typeof createHttpApp>) {
  app.get("/orders", () => [], {
    query: Type.Object({ limit: Type.Optional(IntegerParam({ minimum: 1, maximum: 9 })) }),
    detail: documented("Orders", { answers: { 200: Type.Array(Order) }, access: "customer" }),
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
  expect(Object.keys(responses)).toEqual(["200", "400", "401", "403", "413", "422", "500", "503"]);
  expect(responses["200"]).toEqual({
    description: "OK",
    content: {
      "application/json": { schema: { type: "array", items: expect.objectContaining({ type: "object" }) } },
    },
  });
  expect(responses["401"]).toMatchObject({ headers: { "WWW-Authenticate": {} } });
  expect(responses["503"]).toMatchObject({ headers: { "Retry-After": { schema: { type: "integer" } } } });
  expect(security).toEqual([{ bearer: [] }]);
  expect(parameters).toEqual([
    { name: "limit", in: "query", required: false, schema: { type: "integer", minimum: 1, maximum: 9 } },
  ]);
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
