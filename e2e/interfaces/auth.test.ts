import { describe, expect, test } from "bun:test";
import { tokenClaims } from "@distributed-messaging/contracts";
import { generateSigningKey, issueToken, type PrivateJwk } from "@distributed-messaging/service/identity";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { processNames } from "@distributed-messaging/supervisor/store";
import { type Answer, problemIn } from "../support/answers.ts";
import { Listener } from "../support/listener.ts";
import { describeOwn, OwnStore, useStore } from "../support/own-store.ts";

// At the level that writes the most, so that what is never logged can be seen not to be.
const store = useStore({ env: { LOG_LEVEL: "trace" } });

/** Everything that is somebody's own. */
const doors: readonly (readonly [ServiceName, string, RequestInit])[] = [
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

/** Tokens that nobody here has signed, made of one that was. */
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
    "somebody else's name": [header, part({ ...claims, sub: "CUSTOMER_002" }), signature].join("."),
    "a greater role": [header, part({ ...claims, role: "admin" }), signature].join("."),
    "no signature": [header, payload, ""].join("."),
    "alg none": [part({ alg: "none", typ: "JWT", kid }), payload, ""].join("."),
    "alg HS256": [part({ alg: "HS256", typ: "JWT", kid }), payload, signature].join("."),
    "a key that nobody published": await issueToken(own.privateJwk, { ...request, keyId: own.keyId }),
    "another key under the right name": await issueToken(own.privateJwk, { ...request, keyId: kid }),
  };
}

function expectUnauthorized(answer: Answer): void {
  expect(problemIn(answer).status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toStartWith("Bearer");
}

/** Tries all doors with the headers, and the WebSocket with the token in each place where it may stand. */
async function expectNoEntry(headers: Record<string, string>, token?: string): Promise<void> {
  for (const [name, path, init] of doors) {
    expectUnauthorized(
      await store.ask(name, path, {
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

describe("nobody comes in", () => {
  test("without a token", async () => {
    await expectNoEntry({});
    await expectNoEntry({ authorization: "" });
    await expectNoEntry({ authorization: "Basic Q1VTVE9NRVJfMDAxOng=" });
  });

  test("with a token that is forged", async () => {
    const { session } = await store.signIn("CUSTOMER_001");
    for (const token of Object.values(await forged(session.token))) {
      await expectNoEntry({ authorization: `Bearer ${token}` }, token);
    }
  });

  test("with a good token where tokens do not belong", async () => {
    const { session } = await store.signIn("CUSTOMER_001");
    expectUnauthorized(await store.ask("api-gateway", `/orders?token=${session.token}`));
    expectUnauthorized(await store.ask("notification", `/notifications?token=${session.token}`));
    expectUnauthorized(
      await store.ask("api-gateway", "/orders", { headers: { cookie: `token=${session.token}` } }),
    );
  });
});

describe("nothing of another customer is to be seen", () => {
  test("orders, lists, notifications and the WebSocket are each customer's own", async () => {
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
    expect(new Set((await other.notifications()).map((told) => told.orderId))).toEqual(
      new Set([theirs.orderId]),
    );
    for (const [index, own] of [orderId, theirs.orderId].entries()) {
      expect(new Set(listeners[index]?.received.map((told) => told.orderId))).toEqual(new Set([own]));
      await listeners[index]?.cut();
    }
  });

  test("an admin sees no more of customers' orders than anybody", async () => {
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
    throw new Error("these tests look into the files and logs of a store of our own");
  };

  /** A token of the gateway's own making, for as long as the test wants. */
  function tokenFor(ttlS: number, now = Date.now()): Promise<string> {
    const [key] = own().rows<{ key_id: string; private_key: string }>(
      "api-gateway",
      "SELECT * FROM signing_key",
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

  test("runs out with its time", async () => {
    const token = await tokenFor(60, Date.now() - 120_000);
    await expectNoEntry({ authorization: `Bearer ${token}` }, token);
    const { body } = await store.ask("api-gateway", "/orders", {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(body).toMatchObject({ type: "urn:problem-type:token-expired" });
  });

  test("ends the WebSocket that it opened when it does", async () => {
    const url = `${store.url("notification").replace(/^http/, "ws")}/notifications`;
    const listener = new Listener(url, ["bearer", await tokenFor(2)]);
    expect(await listener.opened()).toBe(true);
    expect(await listener.closed).toBe(1008);
  });

  test("is nobody else's: no log has it", async () => {
    const customer = await store.signIn("CUSTOMER_discreet");
    const { token } = customer.session;
    const url = `${store.url("notification").replace(/^http/, "ws")}/notifications?token=${token}`;
    for (const listener of [customer.listen(), new Listener(url)]) {
      expect(await listener.opened()).toBe(true);
      await listener.cut();
    }
    await customer.orders();
    await store.ask("api-gateway", `/orders?token=${token}`);
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
