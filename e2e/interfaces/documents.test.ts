import { expect, test } from "bun:test";
import { Parser } from "@asyncapi/parser";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { validate } from "@scalar/openapi-parser";
import { Type } from "@sinclair/typebox";
import { parse, request } from "../support/answers.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";

/* The documents as they are served, read by others' linters. */

const Content = Type.Optional(
  Type.Record(Type.String(), Type.Object({ example: Type.Optional(Type.Unknown()) })),
);
const Operation = Type.Object({
  operationId: Type.String({ pattern: "^[a-z][A-Za-z]+$" }),
  summary: Type.String({ minLength: 1 }),
  description: Type.String({ minLength: 1 }),
  tags: Type.Array(Type.String(), { minItems: 1 }),
  security: Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))),
  parameters: Type.Optional(
    Type.Array(Type.Object({ name: Type.String(), in: Type.String(), example: Type.Unknown() })),
  ),
  requestBody: Type.Optional(Type.Object({ content: Content })),
  responses: Type.Record(Type.String(), Type.Object({ description: Type.String(), content: Content })),
});
const OpenApi = Type.Object({
  openapi: Type.Literal("3.1.1"),
  info: Type.Object({
    description: Type.String({ minLength: 1 }),
    license: Type.Object({ name: Type.Literal("MIT"), identifier: Type.Literal("MIT") }),
  }),
  servers: Type.Array(Type.Object({ url: Type.Literal("/") }), { minItems: 1 }),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Operation)),
  components: Type.Object({
    securitySchemes: Type.Record(Type.String(), Type.Object({ type: Type.String() })),
  }),
});

/** What no document names: where the code is, and what is served for the page alone. */
const INTERNAL =
  /\.tsx?\b|node_modules|file:|\/(home|root|tmp|work)\/|\/assets\/|service-worker|\/services\//;

describeOwn("the documents", () => {
  const store = useOwnStore();
  const servers = [...serviceNames, "supervisor"] as const;

  /** A path's answer as it was sent. */
  async function textOf(server: (typeof servers)[number], path: string): Promise<string> {
    if (server !== "supervisor") return (await fetch(store.url(server) + path)).text();
    const [port = 0] = freePorts(1);
    const stop = await store.serveAdminPanel(port);
    try {
      return await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    } finally {
      await stop();
    }
  }

  async function openApi(server: (typeof servers)[number]) {
    return parse(OpenApi, JSON.parse(await textOf(server, "/openapi/json")));
  }

  // Without the slow tests, one of them: all are made by the same code.
  test.each(runsSlowTests ? [...servers] : (["order"] as const))(
    "Redocly and Scalar find nothing in the OpenAPI document of %s",
    async (server) => {
      const source = await textOf(server, "/openapi/json");
      const config = await createConfig({ extends: ["recommended"] });
      const problems = await lintFromString({ source, absoluteRef: "openapi.json", config });
      expect(
        problems.map(({ ruleId, message, location }) => ({ ruleId, message, at: location[0]?.pointer })),
      ).toEqual([]);
      const { valid, errors = [] } = await validate(source);
      expect({ valid, errors }).toEqual({ valid: true, errors: [] });
    },
  );

  test("Redocly finds what is wrong with a document", async () => {
    const document = await openApi("order");
    const source = JSON.stringify({ ...document, security: undefined, components: {} });
    const config = await createConfig({ extends: ["recommended"] });
    const problems = await lintFromString({ source, absoluteRef: "openapi.json", config });
    expect(problems.map(({ ruleId }) => ruleId)).toContain("security-defined");
    expect((await validate(JSON.stringify({ ...document, paths: 1 }))).valid).toBe(false);
  });

  test.each([...servers])(
    "every operation of %s says what it does, answers and needs, with examples",
    async (server) => {
      const { paths } = await openApi(server);
      const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
      expect(operations.length).toBeGreaterThan(5);
      for (const { operationId, requestBody, responses, security } of operations) {
        const statuses = Object.keys(responses);
        const problems = statuses.filter(
          (status) => responses[status]?.content?.["application/problem+json"],
        );
        expect({ operationId, problems }).toEqual({
          operationId,
          problems: expect.arrayContaining(["400", "500", ...(security.length > 0 ? ["401"] : [])]),
        });
        const contents = [
          requestBody?.content ?? {},
          ...Object.values(responses).map(({ content = {} }) => content),
        ];
        for (const [type, media] of contents.flatMap((content) => Object.entries(content))) {
          if (/[/+]json$/.test(type)) expect({ operationId, media }).toHaveProperty("media.example");
        }
      }
    },
  );

  test("what may be repeated takes an Idempotency-Key", async () => {
    const { paths } = await openApi("api-gateway");
    const idempotent = Object.values(paths)
      .flatMap((methods) => Object.values(methods))
      .filter(({ parameters = [] }) => parameters.some(({ name }) => name === "Idempotency-Key"));
    expect(idempotent.map(({ operationId }) => operationId).sort()).toEqual([
      "cancelOrder",
      "placeOrder",
      "restock",
    ]);
  });

  test("a WebSocket's token is described beside that of requests", async () => {
    const { paths, components } = await openApi("notification");
    const { security, responses } = parse(Operation, paths["/notifications"]?.get);
    expect(security).toEqual([{ bearer: [] }, { webSocketProtocol: [] }]);
    expect(Object.keys(components.securitySchemes).sort()).toEqual(["bearer", "webSocketProtocol"]);
    expect(Object.keys(responses)).toContain("101");
  });

  test.each([...servers])("no document of %s names an internal path", async (server) => {
    const paths =
      server === "supervisor"
        ? ["/openapi/json", "/openapi"]
        : ["/openapi/json", "/openapi", "/asyncapi/json", "/asyncapi"];
    for (const path of paths) {
      const text = await textOf(server, path);
      expect({ path, found: INTERNAL.exec(text)?.[0] }).toEqual({ path, found: undefined });
    }
  });

  // Without the slow tests, the document of all of them, below.
  test.each(runsSlowTests ? [...serviceNames] : [])(
    "AsyncAPI's parser finds nothing in the document of %s",
    async (name: ServiceName) => {
      const { document, diagnostics } = await new Parser().parse(await textOf(name, "/asyncapi/json"));
      expect(diagnostics).toEqual([]);
      const operations = document?.operations().all() ?? [];
      expect(operations.length).toBeGreaterThan(1);
      for (const operation of operations) expect(operation.id()).toStartWith(`${name}.`);
    },
  );

  test("AsyncAPI's parser finds nothing in docs/asyncapi.json, which has every operation of the services", async () => {
    const text = await Bun.file(new URL("../../docs/asyncapi.json", import.meta.url)).text();
    const { document, diagnostics } = await new Parser().parse(text);
    expect(diagnostics).toEqual([]);
    const whole = document
      ?.operations()
      .all()
      .map((operation) => operation.id());
    const served = await Promise.all(
      serviceNames.map(async (name) =>
        Object.keys(JSON.parse(await textOf(name, "/asyncapi/json")).operations),
      ),
    );
    expect(served.flat().sort()).toEqual((whole ?? []).map(String).sort());
    const broken = await new Parser().parse(text.replace('"action": "send"', '"action": "sent"'));
    expect(broken.diagnostics).not.toEqual([]);
  });

  test.each(["/openapi", "/asyncapi"])("%s is a page that loads nothing and runs nothing", async (path) => {
    for (const name of serviceNames) {
      const { status, headers, body } = await request(store.url(name) + path);
      expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      expect(headers.get("content-security-policy")).toMatch(
        /^default-src 'none'; style-src 'sha256-[\w+/]+=';/,
      );
      expect(String(body)).not.toMatch(/<script|<link|<img|<iframe|\son\w+=|\ssrc=|href="(?![#/])/);
    }
  });
});
