import { expect, test } from "bun:test";
import type { Answer } from "../../support/answers.ts";
import { faultOf } from "./check.ts";
import type { Operation } from "./document.ts";

const problem = {
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};
const text = { type: "string" };
const operation: Operation = {
  security: [],
  ...{
    url: "http://localhost",
    name: "test POST /orders",
    method: "POST",
    path: "/orders",
    siblings: ["POST"],
  },
  requestBody: {
    required: true,
    content: {
      "application/json": {
        schema: { type: "object", required: ["n"], properties: { n: { type: "integer" } } },
      },
    },
  },
  responses: {
    200: {
      content: {
        "application/json": { schema: { type: "object", required: ["id"], properties: { id: text } } },
      },
      headers: { "X-Replayed": { schema: { type: "string", enum: ["true"] } } },
    },
    204: {},
    401: problem,
    422: problem,
    503: problem,
  },
  schemas: { Problem: { type: "object", required: ["status"], properties: { status: { type: "integer" } } } },
};

function answer(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  const type = status < 400 ? "application/json;charset=utf-8" : "application/problem+json";
  return { status, body, headers: new Headers({ "content-type": type, ...headers }) };
}
const request = { method: "POST", path: "/orders", headers: {}, body: '{"n":1}', json: { n: 1 } };

test.each<[string, Answer]>([
  ["a documented answer", answer(200, { id: "A" }, { "X-Replayed": "true" })],
  ["one without a body", answer(204, "")],
  ["a problem", answer(422, { status: 422 })],
  ["a documented 503", answer(503, { status: 503 })],
])("nothing is wrong with %s", (_what, given) => {
  expect(faultOf(operation, request, given)).toBeUndefined();
});

test.each<[string, Answer, RegExp]>([
  ["a 500", answer(500, { status: 500 }), /the status 500/],
  ["a status that is not listed", answer(404, { status: 404 }), /404, which the document does not list/],
  ["a missing member", answer(200, {}), /id/],
  ["an additional member", answer(200, { id: "A", secret: 1 }), /additional/],
  ["a member of another type", answer(200, { id: 1 }), /id must be string/],
  ["another content type", answer(200, "x", { "content-type": "text/html" }), /content type text\/html/],
  ["a body where there is none", answer(204, { id: "A" }), /a body/],
  ["a header of another value", answer(200, { id: "A" }, { "X-Replayed": "yes" }), /X-Replayed/],
  ["a 401 without a scheme", answer(401, { status: 401 }), /WWW-Authenticate/],
  ["a problem of another status", answer(422, { status: 400 }), /another status/],
])("%s is found", (_what, given, expected) => {
  expect(faultOf(operation, request, given)).toMatch(expected);
});

test("an invalid body that is accepted, and a method that is not the path's, are found", () => {
  const accepted = answer(200, { id: "A" });
  expect(faultOf(operation, { ...request, json: { n: "1" } }, accepted)).toMatch(/invalid body/);
  expect(faultOf(operation, { ...request, json: { n: 1, more: 1 } }, accepted)).toMatch(/invalid body/);
  expect(faultOf(operation, { ...request, method: "PUT" }, accepted)).toMatch(/method/);
  expect(faultOf(operation, { ...request, method: "PUT" }, answer(405, { status: 405 }))).toBeUndefined();
});
