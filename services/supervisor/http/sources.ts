import { join } from "node:path";
import { documented, HttpProblem } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ROOT } from "../store.ts";

/** The first test of each promise in the README, from the root of the repository. */
const promiseTests = [
  "e2e/promises/crash.test.ts",
  "e2e/promises/duplicates.test.ts",
  "shared/messaging/dead-letters/dead-letters.test.ts",
  "e2e/promises/shortage.test.ts",
  "e2e/promises/shortage-recovery.test.ts",
  "e2e/promises/outage.test.ts",
];

/** A TypeScript file of the store, its libraries or its end-to-end tests. No part of it begins with a dot. */
const SOURCE = /^(services|shared|redpanda|e2e)(\/(?!node_modules\/)\w[\w.-]*)+\.ts$/;

/** The sources of the store: the page links to them. */
export function sourceRoutes() {
  const answer = {
    answers: { 200: Type.String({ contentMediaType: "text/plain" }) },
    problems: [404] as const,
  };
  return new Elysia()
    .get("/promises/:number/test", ({ params: { number } }) => sourceOf(promiseTests[Number(number) - 1]), {
      params: Type.Object({ number: Type.String({ pattern: "^[1-9]$" }) }),
      detail: documented("The source of the test of a promise", answer),
    })
    .get("/sources/*", ({ params: { "*": path } }) => sourceOf(SOURCE.test(path) ? path : undefined), {
      params: Type.Object({ "*": Type.String({ maxLength: 200 }) }),
      detail: documented("A file of the store's source", answer),
    });
}

async function sourceOf(path: string | undefined): Promise<Response> {
  const file = path === undefined ? undefined : Bun.file(join(ROOT, path));
  if (file === undefined || !(await file.exists())) {
    throw new HttpProblem(404, "not-found", "This installation has no such file.");
  }
  return new Response(await file.text(), { headers: { "content-type": "text/plain; charset=utf-8" } });
}
