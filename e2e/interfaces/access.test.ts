import { beforeAll, describe, expect, test } from "bun:test";
import { serviceNames } from "@distributed-messaging/services/registry";
import { type Operation, operationsOf } from "../fuzz/requests/document.ts";
import { KnownValues, valueFor } from "../fuzz/requests/values.ts";
import { Prng } from "../simulation/prng.ts";
import { type Answer, problemIn, request } from "../support/answers.ts";
import type { Customer } from "../support/customer.ts";
import { useStore } from "../support/own-store.ts";

/* Who may use what, for every operation in the OpenAPI document of each service. */

const store = useStore();

/** What every service has for its operators, and the gateway for its keys. */
const FOR_ADMINS = /^\/(dead-letters|partitions|outbox|effects|rebuild|signing-keys)(\/|$)/;

let operations: Operation[];
let customer: Customer;
beforeAll(async () => {
  const all = await Promise.all(serviceNames.map((name) => operationsOf(name, store.url(name))));
  operations = all.flat();
  customer = await store.signIn("CUSTOMER_curious");
}, 60_000);

/** A request whose parameters and body match the document. */
function ask(
  { method, path, url, parameters = [], requestBody }: Operation,
  headers: object,
): Promise<Answer> {
  const prng = new Prng(path);
  const known = new KnownValues();
  const filled = parameters
    .filter(({ in: place }) => place === "path")
    .reduce(
      (text, { name, schema }) =>
        text.replace(`{${name}}`, encodeURIComponent(String(valueFor(schema, prng, known)))),
      path,
    );
  const schema = requestBody?.content?.["application/json"]?.schema;
  const body = schema === undefined ? {} : { body: JSON.stringify(valueFor(schema, prng, known)) };
  return request(`${url}${filled}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...body,
  });
}

const needToken = () => operations.filter(({ security }) => security.length > 0);
const needAdmin = () =>
  operations.filter(({ security }) => security.some(({ bearer }) => bearer?.includes("admin")));

describe("every operation", () => {
  test("for operators is for admins by its document", () => {
    const names = (list: readonly Operation[]) => list.map(({ name }) => name);
    const meant = operations.filter(({ path }) => FOR_ADMINS.test(path));
    expect(names(needAdmin())).toEqual(expect.arrayContaining(names(meant)));
    expect(new Set(meant.map(({ url }) => url)).size).toBe(serviceNames.length);
  });

  test("that needs a token is refused without one", async () => {
    for (const operation of needToken()) {
      const { status } = problemIn(await ask(operation, {}));
      expect({ operation: operation.name, status }).toEqual({ operation: operation.name, status: 401 });
    }
  });

  test("for admins is refused to a customer", async () => {
    for (const operation of needAdmin()) {
      const { status } = problemIn(await ask(operation, customer.authorization));
      expect({ operation: operation.name, status }).toEqual({ operation: operation.name, status: 403 });
    }
  });
});
