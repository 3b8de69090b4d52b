import { afterEach, expect, test } from "bun:test";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { StoreSettings } from "../testing/store-process.ts";

/* post-order with a fake gateway; start.test.ts runs it with a real one. */

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Answers {
  /** Called with each request to sign in and to place an order. */
  readonly onRequest?: (body: unknown) => void;
  /** The answers to `GET /orders/:orderId`, in order; the last one is repeated. */
  readonly views?: readonly object[];
  readonly sessions?: () => Response;
  readonly place?: () => Response;
  /** How many requests for the catalogue are answered with an empty one. */
  readonly emptyCatalogues?: number;
}

const problem = (status: number, body: object) => Response.json(body, { status });

function gateway({ views = [], sessions, place, emptyCatalogues = 0, onRequest }: Answers): string {
  const catalogue = ["PRODUCT_001", "PRODUCT_002"].map((productId) => ({ productId }));
  let asked = 0;
  let shown = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/sessions": {
        POST: async (request) => {
          onRequest?.(await request.json());
          return sessions?.() ?? Response.json({ token: "token" }, { status: 201 });
        },
      },
      "/products": () => Response.json(asked++ < emptyCatalogues ? [] : catalogue),
      "/orders": {
        POST: async (request) => {
          onRequest?.(await request.json());
          return place?.() ?? Response.json({}, { status: 202 });
        },
      },
      "/orders/:orderId": () => Response.json(views[Math.min(shown++, views.length - 1)] ?? {}),
    },
    fetch: () => new Response("", { status: 404 }),
  });
  cleanups.push(() => server.stop(true));
  return server.url.href;
}

function post(url: string) {
  const store = new StoreSettings({ API_GATEWAY_URL: url });
  cleanups.push(() => store.remove());
  return store.run("post-order.ts", ["ORDER_001"]);
}

const view = (status: string, more: object = {}) => ({ orderId: "ORDER_001", status, ...more });

test("prints every status until the order is final", async () => {
  const views = [
    view("accepted"),
    view("pending"),
    view("pending"),
    view("rejected", { reason: "unknown_product" }),
  ];
  expect(await post(gateway({ views, emptyCatalogues: 2 }))).toEqual({
    exitCode: 0,
    stdout: "ORDER_001 accepted\nORDER_001 pending\nORDER_001 rejected: unknown_product\n",
    stderr: "",
  });
});

test("it ends when the order waits for stock", async () => {
  const shortages = [{ productId: "PRODUCT_001", missing: 2 }];
  const { stdout, exitCode } = await post(gateway({ views: [view("backordered", { shortages })] }));
  expect(exitCode).toBe(0);
  expect(stdout).toContain("ORDER_001 backordered: it waits for 2 × PRODUCT_001 and is confirmed when");
});

slowTest("a gateway without the demo sign-in", async () => {
  const sessions = () => problem(404, {});
  expect(await post(gateway({ sessions }))).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^post-order: \S+ has no demo sign-in; start it with DEMO_SIGN_IN=true\n$/),
  });
});

test("a refusal is printed with the gateway's reasons", async () => {
  const errors = [{ path: "/items/0/quantity", message: "too many" }];
  const place = () => problem(422, { title: "Invalid", detail: "The order is not valid.", errors });
  const { stderr, exitCode } = await post(gateway({ place }));
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(
    /^post-order: \S+ answered 422: The order is not valid\.: \/items\/0\/quantity too many\n$/,
  );
});

test("another program on the gateway's port is one line too", async () => {
  const sessions = () => new Response("<html>", { status: 201 });
  const { stderr } = await post(gateway({ sessions }));
  expect(stderr).toMatch(/^post-order: \S+ is not a service of the store\n$/);
});

test("any order of any customer at any gateway", async () => {
  const requests: unknown[] = [];
  const url = gateway({ views: [view("confirmed")], onRequest: (body) => requests.push(body) });
  const store = new StoreSettings({ API_GATEWAY_URL: "http://127.0.0.1:1" });
  cleanups.push(() => store.remove());
  const items = ["--item", "PRODUCT_002=4", "--item=PRODUCT_001=1"];
  const args = ["MINE", ...items, "--customer", "ALICE", "--gateway", url];
  expect(await store.run("post-order.ts", args)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(requests).toEqual([
    { customerId: "ALICE", role: "customer" },
    {
      orderId: "MINE",
      items: [
        { productId: "PRODUCT_002", quantity: 4 },
        { productId: "PRODUCT_001", quantity: 1 },
      ],
    },
  ]);
});

test.each([
  [[], 2, "expected the id of the order (for help: bun run post-order --help)"],
  [["MINE"], 2, "MINE needs --item PRODUCT_ID=QUANTITY; only ORDER_001 and ORDER_002 have known items"],
  [["MINE", "--item", "PRODUCT_001"], 2, "--item: expected PRODUCT_ID=QUANTITY, got 'PRODUCT_001'"],
  [["ORDER_001", "--gateway", "here"], 2, "--gateway: expected an http or https URL, got 'here'"],
])("%p is refused", async (args, exitCode, line) => {
  const store = new StoreSettings();
  cleanups.push(() => store.remove());
  const refused = await store.run("post-order.ts", args);
  expect(refused).toMatchObject({ exitCode, stdout: "", stderr: expect.stringContaining(line) });
});

test("a wrong API_GATEWAY_URL is a wrong setting", async () => {
  const store = new StoreSettings({ API_GATEWAY_URL: "here" });
  cleanups.push(() => store.remove());
  const stderr = "post-order: API_GATEWAY_URL: expected an http or https URL, got 'here'\n";
  expect(await store.run("post-order.ts", ["ORDER_001"])).toEqual({ exitCode: 1, stdout: "", stderr });
});
