import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { tokenClaims } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { issueToken } from "@distributed-messaging/service/identity";
import { operatorToken } from "@distributed-messaging/service/operator";
import { generateSigningKey, type PrivateJwk } from "@distributed-messaging/service/signing-key";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { processNames } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { type Answer, problemIn, read } from "../support/answers.ts";
import { Listener } from "../support/listener.ts";
import { describeOwn, OwnStore, useStore } from "../support/own-store.ts";

// The level that logs the most: the tests check that tokens are not logged.
const store = useStore({ env: { LOG_LEVEL: "trace" } });

const Keys = Type.Array(Type.Object({ keyId: Type.String(), state: Type.String() }));

/** Requests that need a token. */
const requests: readonly (readonly [ServiceName, string, RequestInit])[] = [
  ["api-gateway", "/orders", {}],
  ["api-gateway", "/orders/ORDER_001", {}],
  [
    "api-gateway",
    "/orders",
    { method: "POST", body: '{"items":[]}', headers: { "content-type": "application/json" } },
  ],
  ["notification", "/notifications", {}],
  ["api-gateway", "/dead-letters", {}],
  ["inventory", "/dead-letters", {}],
  ["order", "/dead-letters/1", {}],
  ["notification", "/dead-letters/1/replay", { method: "POST" }],
];

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Invalid tokens, made from a valid one. */
async function forged(token: string): Promise<Record<string, string>> {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  const own = await generateSigningKey();
  const { kid } = JSON.parse(Buffer.from(header, "base64url").toString()) as { kid: string };
  const request = {
    ...tokenClaims,
    customerId: "CUSTOMER_001",
    role: "customer",
    now: Date.now(),
    ttlS: 60,
  } as const;
  return {
    garbage: "garbage",
    "three dots": "...",
    "very long": "x".repeat(5_000),
    "another subject": [header, part({ ...claims, sub: "CUSTOMER_002" }), signature].join("."),
    "another role": [header, part({ ...claims, role: "admin" }), signature].join("."),
    "no signature": [header, payload, ""].join("."),
    "alg none": [part({ alg: "none", typ: "JWT", kid }), payload, ""].join("."),
    "alg HS256": [part({ alg: "HS256", typ: "JWT", kid }), payload, signature].join("."),
    "an unknown key": await issueToken(own.privateJwk, { ...request, keyId: own.keyId }),
    "another key with the same id": await issueToken(own.privateJwk, { ...request, keyId: kid }),
  };
}

function expectUnauthorized(answer: Answer): void {
  expect(problemIn(answer).status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toStartWith("Bearer");
}

/** Sends every request with the headers, and opens the WebSocket with the token in each place that may hold it. */
async function expectRefusals(headers: Record<string, string>, token?: string): Promise<void> {
  for (const [name, path, init] of requests) {
    expectUnauthorized(
      await store.request(name, path, {
        ...init,
        headers: { ...Object.fromEntries(new Headers(init.headers)), ...headers },
      }),
    );
  }
  const url = `${store.url("notification").replace(/^http/, "ws")}/notifications`;
  const listeners = [new Listener(url)];
  if (token !== undefined) {
    listeners.push(
      new Listener(`${url}?token=${token}`),
      new Listener(url, ["bearer", token.replace(/[^\w.-]/g, "_")]),
    );
  }
  for (const listener of listeners) expect(await listener.opened()).toBe(false);
}

describe("a request is refused", () => {
  test("without a token", async () => {
    await expectRefusals({});
    await expectRefusals({ authorization: "" });
    await expectRefusals({ authorization: "Basic Q1VTVE9NRVJfMDAxOng=" });
  });

  test("with an invalid token", async () => {
    const { session } = await store.signIn("CUSTOMER_001");
    for (const token of Object.values(await forged(session.token))) {
      await expectRefusals({ authorization: `Bearer ${token}` }, token);
    }
  });

  test("with a valid token in the wrong place", async () => {
    const { session } = await store.signIn("CUSTOMER_001");
    expectUnauthorized(await store.request("api-gateway", `/orders?token=${session.token}`));
    expectUnauthorized(await store.request("notification", `/notifications?token=${session.token}`));
    expectUnauthorized(
      await store.request("api-gateway", "/orders", { headers: { cookie: `token=${session.token}` } }),
    );
  });
});

describe("another customer's data is not visible", () => {
  test("orders, lists, notifications and the WebSocket show the customer's own data only", async () => {
    await store.seed();
    const [one, other] = [await store.signIn("CUSTOMER_one"), await store.signIn("CUSTOMER_other")];
    const listeners = [one.listen(), other.listen()];
    const { orderId } = await one.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
    await one.until(orderId, "confirmed");
    const theirs = await other.place({ items: [{ productId: "PRODUCT_002", quantity: 1 }] });
    await other.until(theirs.orderId, "confirmed");
    for (const listener of listeners) await listener.until(2);

    const answer = await other.askForOrder(orderId);
    const missing = await other.askForOrder("NO_SUCH_ORDER");
    expect(problemIn(answer).status).toBe(404);
    expect(JSON.stringify(answer.body).replace(orderId, "")).toBe(
      JSON.stringify(missing.body).replace("NO_SUCH_ORDER", ""),
    );
    expect((await other.orders()).map((order) => order.orderId)).toEqual([theirs.orderId]);
    expect(await other.orders(`?after=${orderId}`)).toEqual([]);
    expect(new Set((await other.notifications()).map((notification) => notification.orderId))).toEqual(
      new Set([theirs.orderId]),
    );
    for (const [index, own] of [orderId, theirs.orderId].entries()) {
      expect(new Set(listeners[index]?.received.map((notification) => notification.orderId))).toEqual(
        new Set([own]),
      );
      await listeners[index]?.terminate();
    }
  });

  test("an admin does not see the orders of customers", async () => {
    const customer = await store.signIn("CUSTOMER_one");
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
    const admin = await store.signIn("ADMIN_001", "admin");
    expect(problemIn(await admin.askForOrder(orderId)).status).toBe(404);
    expect(await admin.orders()).toEqual([]);
  });
});

describeOwn("a token", () => {
  const own = (): OwnStore => {
    if (store instanceof OwnStore) return store;
    throw new Error("these tests need the files and logs of the store");
  };

  /** A token that is signed with the gateway's key. */
  function tokenFor(ttlS: number, now = Date.now()): Promise<string> {
    const [key] = own().rows<{ key_id: string; private_key: string }>(
      "api-gateway",
      "SELECT * FROM token_keys WHERE state = 'current'",
    );
    const request = {
      ...tokenClaims,
      customerId: "CUSTOMER_001",
      role: "customer",
      keyId: key?.key_id ?? "",
      now,
      ttlS,
    } as const;
    return issueToken(JSON.parse(key?.private_key ?? "") as PrivateJwk, request);
  }

  test("expires", async () => {
    const token = await tokenFor(60, Date.now() - 120_000);
    await expectRefusals({ authorization: `Bearer ${token}` }, token);
    const { body } = await store.request("api-gateway", "/orders", {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(body).toMatchObject({ type: "urn:problem-type:token-expired" });
  });

  test("closes its WebSocket when it expires", async () => {
    const url = `${store.url("notification").replace(/^http/, "ws")}/notifications`;
    // On a slow machine, a token may expire before its connection is open.
    const listener = await eventually(async () => {
      const one = new Listener(url, ["bearer", await tokenFor(2)]);
      return (await one.opened()) && one;
    }, "an open WebSocket");
    expect(await listener.closed).toBe(1008);
  });

  test("of a withdrawn key is refused by every service at once", async () => {
    const before = await store.signIn("CUSTOMER_001");
    const authorization = `Bearer ${await operatorToken(join(own().dataDir, "operator.jwk"))}`;
    const ask = (method: string, path: string) =>
      store.request("api-gateway", `/signing-keys${path}`, { method, headers: { authorization } });
    const keys = read(Keys, await ask("GET", ""));
    const stolen = keys.find(({ state }) => state === "current")?.keyId;
    read(Keys, await ask("POST", `/${stolen}/withdraw`));
    await expectRefusals(before.authorization, before.session.token);
    const after = await store.signIn("CUSTOMER_001");
    expect(await after.orders()).toBeArray();
    expect(await after.notifications()).toBeArray();
  });

  test("is in no log", async () => {
    const customer = await store.signIn("CUSTOMER_discreet");
    const { token } = customer.session;
    const url = `${store.url("notification").replace(/^http/, "ws")}/notifications?token=${token}`;
    for (const listener of [customer.listen(), new Listener(url)]) {
      expect(await listener.opened()).toBe(true);
      await listener.terminate();
    }
    await customer.orders();
    await store.request("api-gateway", `/orders?token=${token}`);
    for (const name of processNames) {
      const lines = own().log(name);
      expect(lines.filter((line) => line.includes(token))).toEqual([]);
    }
    expect(
      own()
        .log("api-gateway")
        .filter((line) => line.includes('"request"')).length,
    ).toBeGreaterThan(0);
  });
});
