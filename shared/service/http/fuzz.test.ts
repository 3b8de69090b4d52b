import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { serveForTest } from "../testing/http.ts";
import { rawRequest } from "../testing/raw-request.ts";
import { type createHttpApp, IntegerParam } from "./app.ts";

const closed = { additionalProperties: false } as const;
const Order = Type.Object(
  {
    orderId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" }),
    items: Type.Array(
      Type.Object({ productId: Type.String(), quantity: Type.Integer({ minimum: 1, maximum: 10 }) }, closed),
      { maxItems: 5 },
    ),
    note: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 5 })])),
  },
  closed,
);

function routes(app: ReturnType<typeof createHttpApp>) {
  app.post("/orders", ({ body }) => body, { body: Order });
  app.get("/orders/:orderId", ({ params, query }) => ({ ...params, ...query }), {
    params: Type.Object({ orderId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" }) }),
    query: Type.Object({ limit: Type.Optional(IntegerParam({ minimum: 1, maximum: 9 })) }, closed),
  });
}

/** mulberry32: a seeded generator, so that a failure can be reproduced. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const GOOD = JSON.stringify({ orderId: "A", items: [{ productId: "P", quantity: 1 }], note: null });
const FRAGMENTS = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ",",
  ":",
  "null",
  "1e999",
  "-0",
  "\\u0000",
  "\\ud800",
  "__proto__",
  "\u0000",
  "é",
  "\r\n",
  "%",
  "//",
  "true",
];
const seed = Number(process.env.FUZZ_SEED ?? 1);

function mutate(text: string, pick: (below: number) => number): Buffer {
  let bytes = Buffer.from(text);
  for (let changes = 1 + pick(4); changes > 0; changes--) {
    const at = pick(bytes.length + 1);
    const fragment = FRAGMENTS[pick(FRAGMENTS.length)] ?? "";
    const kind = pick(4);
    if (kind === 0) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(fragment), bytes.subarray(at)]);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + pick(8))]);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes]);
    else if (at < bytes.length) bytes[at] = pick(256);
  }
  return bytes;
}

test("no body causes an error of the service", async () => {
  await using server = await serveForTest(routes);
  const pick = random(seed);
  for (let round = 0; round < 600; round++) {
    const body = mutate(GOOD, pick);
    const response = await fetch(`${server.url}/orders`, {
      method: "POST",
      body: new Uint8Array(body),
      headers: { "content-type": "application/json" },
    });
    const context = `FUZZ_SEED=${seed} round ${round}: ${body.toString("latin1")}`;
    expect([200, 400, 422], context).toContain(response.status);
    const answer: unknown = await response.json();
    if (response.status !== 200) expect(answer, context).toMatchObject({ status: response.status });
  }
  expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

test("no URL causes an error of the service", async () => {
  await using server = await serveForTest(routes);
  const pick = random(seed);
  for (let round = 0; round < 300; round++) {
    const path = mutate("/orders/ORDER_1?limit=3", pick)
      .toString("latin1")
      .replace(/[\s\0]/g, "");
    const bytes = Buffer.from(
      `GET /${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      "latin1",
    );
    const answer = await rawRequest(server.listening.port, bytes);
    // Bun closes the connection when the request is not HTTP.
    if (answer !== "")
      expect(answer, `FUZZ_SEED=${seed} round ${round}: ${path}`).toMatch(/^HTTP\/1\.1 (200|4\d\d|505) /);
  }
  expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

test("no header causes an error of the service", async () => {
  await using server = await serveForTest(routes);
  const pick = random(seed);
  const names = [
    "Content-Type",
    "Authorization",
    "Traceparent",
    "Upgrade",
    "Content-Encoding",
    "Cookie",
    "Accept",
    "Host",
  ];
  for (let round = 0; round < 300; round++) {
    const name = names[pick(names.length)];
    const value = mutate("application/json; charset=utf-8, 00-a-b-01", pick)
      .toString("latin1")
      .replace(/[\r\n\0]/g, "");
    const host = name === "Host" ? "" : "Host: localhost\r\n";
    const head = `POST /orders HTTP/1.1\r\n${host}${name}: ${value}\r\nConnection: close\r\n`;
    const bytes = Buffer.from(`${head}Content-Length: ${GOOD.length}\r\n\r\n${GOOD}`, "latin1");
    const answer = await rawRequest(server.listening.port, bytes);
    if (answer !== "")
      expect(answer, `FUZZ_SEED=${seed} round ${round}: ${value}`).toMatch(/^HTTP\/1\.1 (200|4\d\d|505) /);
  }
  expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
