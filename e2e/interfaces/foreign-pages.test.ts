import { describe, expect, test } from "bun:test";
import { serviceNames } from "@distributed-messaging/services/registry";
import { type Answer, problemIn } from "../support/answers.ts";
import { useStore } from "../support/own-store.ts";

const store = useStore();

function refusalIn(answer: Answer): string {
  const { status, type } = problemIn(answer);
  return `${status} ${type.replace("urn:problem-type:", "")}`;
}

const SEED = "/automation-testing/seed";
const foreign = { origin: "http://evil.example" };

describe.each(serviceNames.map((name) => [name]))("%s", (name) => {
  const get = (headers: Record<string, string>) => store.request(name, "/liveness", { headers });

  test("does not answer to a foreign host name", async () => {
    for (const host of ["evil.example", "2130706433", "0x7f.1"]) {
      expect(refusalIn(await get({ host: `${host}:${new URL(store.url(name)).port}` }))).toBe(
        "403 foreign-host",
      );
    }
  });

  test("does not answer to a foreign page", async () => {
    for (const origin of ["http://evil.example", "null", "http://localhost:1"]) {
      expect(refusalIn(await get({ origin }))).toBe("403 foreign-origin");
    }
    expect(refusalIn(await get({ "sec-fetch-site": "cross-site" }))).toBe("403 foreign-origin");
  });
});

/** The status of the answer to a handshake: 101 when it is open. */
async function handshake(path: string, headers: Record<string, string>): Promise<number> {
  const answer = await fetch(`${store.url("notification")}${path}`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
    },
  });
  // The connection of an open WebSocket stays open.
  await answer.body?.cancel();
  return answer.status;
}

test("a WebSocket opens for the page and for programs, and for no foreign page", async () => {
  const { session } = await store.signIn("CUSTOMER_001");
  const path = `/notifications?token=${session.token}`;
  const page = new URL(store.url("api-gateway")).origin;
  expect(await handshake(path, foreign)).toBe(403);
  expect(await handshake(path, { origin: "http://localhost:1" })).toBe(403);
  expect(await handshake(path, { origin: page })).toBe(101);
  expect(await handshake(path, {})).toBe(101);
});

describe("seeding", () => {
  test("needs no token, as from curl", async () => {
    expect((await store.request("inventory", SEED, { method: "POST" })).status).toBe(200);
  });

  test("is refused to a page of another site", async () => {
    for (const headers of [foreign, { origin: "null" }, { "sec-fetch-site": "cross-site" }]) {
      expect(refusalIn(await store.request("inventory", SEED, { method: "POST", headers }))).toBe(
        "403 foreign-origin",
      );
    }
  });
});

describe("deleting all", () => {
  const deleteAll = (headers: Record<string, string>) =>
    store.request("inventory", "/automation-testing/all", { method: "DELETE", headers });

  test("needs an admin's token", async () => {
    await store.seed();
    expect(problemIn(await deleteAll({})).status).toBe(401);
    const customer = await store.signIn("CUSTOMER_001");
    expect(problemIn(await deleteAll(customer.authorization)).status).toBe(403);
    expect(await store.stock("PRODUCT_001")).toMatchObject({ onHand: 10 });
    const admin = await store.signIn("ADMIN_001", "admin");
    expect((await deleteAll(admin.authorization)).status).toBe(200);
    expect((await store.request("inventory", "/stock/PRODUCT_001")).status).toBe(404);
  });
});
