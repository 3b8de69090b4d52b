import { beforeAll, describe, expect, test } from "bun:test";
import { type Answer, problemIn, request } from "../support/answers.ts";
import { invalid, json, line, malformed, refused } from "../support/bad-orders.ts";
import type { Customer } from "../support/customer.ts";
import { OwnStore, useStore } from "../support/own-store.ts";

const store = useStore();

/** Sends a request as a new customer, and checks that it has no effect. */
async function refusedWithoutTrace(send: (customer: Customer) => Promise<Answer>): Promise<Answer> {
  const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
  const emitted = store instanceof OwnStore ? store.emitted("api-gateway") : 0;
  const answer = await send(customer);
  expect(await customer.orders()).toEqual([]);
  if (store instanceof OwnStore) expect(store.emitted("api-gateway"), "messages emitted").toBe(emitted);
  expect(JSON.stringify(answer.body)).not.toMatch(/SQLITE|node_modules|\.ts\b|\bat .*:\d+/);
  return answer;
}

function post(customer: Customer, init: RequestInit): Promise<Answer> {
  const headers = { ...Object.fromEntries(new Headers(init.headers)), ...customer.authorization };
  return request(`${store.url("api-gateway")}/orders`, { ...init, method: "POST", headers });
}

describe("an order is refused without an effect, with", () => {
  beforeAll(() => store.seed(), 60_000);

  test("(but accepted when it is valid)", async () => {
    const customer = await store.signIn("CUSTOMER_good");
    const fits = JSON.stringify({ items: [line] }).padEnd(64 * 1024, " ");
    const answer = await post(customer, {
      body: fits,
      headers: { "content-type": "application/json; charset=utf-8" },
    });
    expect(answer.status).toBe(202);
    expect(await customer.orders()).toHaveLength(1);
  });

  test.each(invalid)("%s", async (_, body, paths) => {
    const answer = await refusedWithoutTrace((customer) => customer.tryToPlace(body));
    expect(answer.status).toBe(422);
    expect(
      problemIn(answer)
        .errors?.map(({ path }) => path)
        .sort(),
    ).toEqual([...paths].sort());
  });

  test.each(malformed)("%s for a body", async (_, body) => {
    const answer = await refusedWithoutTrace((customer) =>
      post(customer, { body, headers: { "content-type": json } }),
    );
    expect(problemIn(answer)).toMatchObject({ status: 400, type: "urn:problem-type:malformed-body" });
  });

  test.each(refused)("%s: %d", async (_, status, init) => {
    const answer = await refusedWithoutTrace((customer) => post(customer, init));
    expect(problemIn(answer).status).toBe(status);
  });
});
