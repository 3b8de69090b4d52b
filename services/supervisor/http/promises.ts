import { join } from "node:path";
import { HttpProblem } from "@distributed-messaging/service/http/app";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { ROOT } from "../store.ts";

/** Where each of the six promises in the README is tested, from the root of the project. */
export const promiseTests = [
  "e2e/promises/crash.test.ts",
  "e2e/promises/duplicates.test.ts",
  "shared/messaging/dead-letters/dead-letters.test.ts",
  "e2e/promises/shortage.test.ts",
  "e2e/promises/shortage.test.ts",
  "e2e/promises/outage.test.ts",
] as const;

/** The source of a promise's test, so that whoever saw it hold can read what holds it. */
export function promiseRoutes() {
  return new Elysia().get(
    "/promises/:number/test",
    async ({ params: { number } }) => {
      const path = promiseTests[Number(number) - 1];
      const file = path === undefined ? undefined : Bun.file(join(ROOT, path));
      if (file === undefined || !(await file.exists())) {
        throw new HttpProblem(404, "not-found", "This installation has no such test.");
      }
      return new Response(await file.text(), { headers: { "content-type": "text/plain; charset=utf-8" } });
    },
    {
      params: Type.Object({ number: Type.String({ pattern: "^[1-9]$" }) }),
      detail: { summary: "The source of the test of one of the six promises" },
    },
  );
}
