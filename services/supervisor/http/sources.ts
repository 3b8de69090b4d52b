import { join } from "node:path";
import { HttpProblem } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ROOT } from "../store.ts";

/** A TypeScript file of the store, its libraries or its end-to-end tests. No part of it begins with a dot. */
const SOURCE = /^(services|shared|redpanda|e2e)(\/(?!node_modules\/)\w[\w.-]*)+\.ts$/;

/** The sources of the store: the page links to them. */
export function sourceRoutes() {
  return new Elysia().get("/sources/*", ({ params: { "*": path } }) => sourceOf(path), {
    params: Type.Object({ "*": Type.String({ maxLength: 200 }) }),
    // OpenAPI has no parameter for the rest of a path.
    detail: { hide: true },
  });
}

async function sourceOf(path: string): Promise<Response> {
  const file = SOURCE.test(path) ? Bun.file(join(ROOT, path)) : undefined;
  if (file === undefined || !(await file.exists())) {
    throw new HttpProblem(404, "not-found", "This installation has no such file.");
  }
  return new Response(await file.text(), { headers: { "content-type": "text/plain; charset=utf-8" } });
}
