import { describe, expect, test } from "bun:test";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { type Answer, problemIn } from "../support/answers.ts";
import { strangeIds } from "../support/bad-orders.ts";
import { useStore } from "../support/own-store.ts";

const store = useStore();

/** Invalid identifiers that leave the rest of a path unchanged. */
const pathIds = strangeIds.filter((id): id is string => typeof id === "string" && id !== "");

async function asCustomer(name: ServiceName, path: string, init: RequestInit = {}): Promise<Answer> {
  const { authorization } = await store.signIn("CUSTOMER_001");
  return store.request(name, path, {
    ...init,
    headers: { ...authorization, ...Object.entries(init.headers ?? {}) },
  });
}

function fieldsIn(answer: Answer): string[] {
  return (problemIn(answer).errors ?? []).map(({ path }) => path).sort();
}

describe("an invalid id in a path", () => {
  test.each(pathIds)("%j", async (id) => {
    const order = await asCustomer("api-gateway", `/orders/${encodeURIComponent(id)}`);
    expect({ status: order.status, fields: fieldsIn(order) }).toEqual({ status: 422, fields: ["/orderId"] });
    const stock = await asCustomer("inventory", `/stock/${encodeURIComponent(id)}`);
    expect({ status: stock.status, fields: fieldsIn(stock) }).toEqual({
      status: 422,
      fields: ["/productId"],
    });
  });

  test("an unknown id is not found", async () => {
    expect(problemIn(await asCustomer("api-gateway", "/orders/NO_SUCH_ORDER")).status).toBe(404);
    expect(problemIn(await asCustomer("inventory", "/stock/NO_SUCH_PRODUCT")).status).toBe(404);
  });
});

describe("an invalid query", () => {
  test.each([
    ["api-gateway", "/orders?limit=0", ["/limit"]],
    ["api-gateway", "/orders?limit=101", ["/limit"]],
    ["api-gateway", "/orders?limit=-1", ["/limit"]],
    ["api-gateway", "/orders?limit=1.5", ["/limit"]],
    ["api-gateway", "/orders?limit=1e1", ["/limit"]],
    ["api-gateway", "/orders?limit=ten", ["/limit"]],
    ["api-gateway", "/orders?limit=", ["/limit"]],
    ["api-gateway", `/orders?limit=${"9".repeat(400)}`, ["/limit"]],
    ["api-gateway", "/orders?after=a/b", ["/after"]],
    ["api-gateway", "/orders?page=2", ["/page"]],
    ["api-gateway", "/orders?limit=0&after=%00&page=2", ["/after", "/limit", "/page"]],
    ["notification", "/notifications?after=-1", ["/after"]],
    ["notification", "/notifications?after=abc", ["/after"]],
    ["notification", "/notifications?after=1.5", ["/after"]],
    ["notification", `/notifications?after=${"9".repeat(30)}`, ["/after"]],
    ["notification", "/notifications?before=3", ["/before"]],
  ] as const)("%s %s", async (name, path, fields) => {
    const answer = await asCustomer(name, path);
    expect(answer.status).toBe(422);
    expect(fieldsIn(answer)).toEqual([...fields]);
  });
});

describe("an invalid sign-in", () => {
  test.each([
    [{}, ["/customerId"]],
    [{ customerId: "" }, ["/customerId"]],
    [{ customerId: "a b" }, ["/customerId"]],
    [{ customerId: "x".repeat(65) }, ["/customerId"]],
    [{ customerId: 1 }, ["/customerId"]],
    [{ customerId: "CUSTOMER_001", role: "root" }, ["/role"]],
    [{ customerId: "CUSTOMER_001", password: "123" }, ["/password"]],
    [{ customerId: "ö", role: 7, password: "123" }, ["/customerId", "/password", "/role"]],
  ])("%j", async (body, fields) => {
    const answer = await store.request("api-gateway", "/sessions", {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    expect(answer.status).toBe(422);
    expect(fieldsIn(answer)).toEqual(fields);
  });
});

describe("every service", () => {
  test.each(serviceNames)("%s: an unknown path is 404, an unsupported method 405", async (name) => {
    for (const path of ["/nothing", "/.env", "/liveness/x", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/%zz"]) {
      expect({ path, status: problemIn(await asCustomer(name, path)).status }).toEqual({ path, status: 404 });
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const answer = await asCustomer(name, "/liveness", { method });
      expect(problemIn(answer).status).toBe(405);
      expect(answer.headers.get("allow")).toBe("GET, HEAD");
    }
  });

  test.each(serviceNames)("%s: health, OpenAPI and metrics", async (name) => {
    expect((await store.request(name, "/liveness")).body).toEqual({ app: name, status: "UP" });
    const readiness = await store.request(name, "/readiness");
    expect(readiness.body).toMatchObject({
      app: name,
      ready: true,
      checks: { database: "UP", broker: "UP", partitions: "UP", outbox: "UP" },
    });
    expect((await store.request(name, "/openapi/json")).body).toMatchObject({
      openapi: expect.stringMatching(/^3\./),
    });
    expect(await store.metric(name, "outbox_depth")).toBeGreaterThanOrEqual(0);
  });
});

test("an answer reveals nothing about the server", async () => {
  for (const name of serviceNames) {
    const { headers } = await store.request(name, "/nothing");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    for (const header of ["server", "x-powered-by"]) expect(headers.get(header)).toBeNull();
  }
});

test("bytes that are not HTTP end with an answer or a closed connection", async () => {
  for (const name of serviceNames) {
    const { hostname, port } = new URL(store.url(name));
    for (const bytes of [
      "\0\0\0\0",
      "GET\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      `GET /${"x".repeat(1_000_000)}`,
    ]) {
      await sendBytes(hostname, Number(port), bytes);
    }
    expect((await store.request(name, "/liveness")).status).toBe(200);
  }
});

/** Sends bytes and closes the sending side; resolves when the connection is closed. */
async function sendBytes(hostname: string, port: number, bytes: string): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname,
    port,
    socket: { data() {}, close: () => closed.resolve(), error: () => closed.resolve() },
  });
  socket.write(bytes);
  socket.shutdown();
  await closed.promise;
}
