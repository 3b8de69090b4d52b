import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { spawnChild } from "@distributed-messaging/supervisor/child";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Value } from "@sinclair/typebox/value";
import { LoadEvent, type LoadRequest } from "./load.ts";
import { measureAnswers, measureCatchUp, measureHighestRate } from "./scenarios.ts";

/** The public interfaces of a store that confirms each order at once, except those that a test has it lose or refuse. */
class FakeStore {
  readonly #server;
  readonly restocked: number[] = [];
  available = 1;
  placed = 0;
  /** Of what earlier orders took, which the catalogue shows after some requests. */
  notShownYet = { quantity: 0, requests: 0 };
  /** While it is down, it accepts orders and confirms none. */
  #held: (() => void)[] | undefined;

  constructor(answer: (index: number) => "confirmed" | "lost" | "refused") {
    this.#server = Bun.serve<string>({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request, server) => {
        const { pathname, searchParams } = new URL(request.url);
        if (pathname === "/notifications") {
          return server.upgrade(request, { data: searchParams.get("token") ?? "" })
            ? undefined
            : new Response(null, { status: 426 });
        }
        if (pathname === "/products") {
          const taken = this.notShownYet.requests-- > 0 ? this.notShownYet.quantity : 0;
          return Response.json([{ productId: "CUP", available: this.available + taken }]);
        }
        const body: { customerId: string; quantity: number; orderId: string } = await request.json();
        if (pathname === "/sessions") return Response.json({ token: body.customerId }, { status: 201 });
        if (pathname.endsWith("/restock")) {
          this.available += body.quantity;
          this.restocked.push(body.quantity);
          return Response.json({}, { status: 202 });
        }
        const outcome = answer(this.placed++);
        if (outcome === "refused") return Response.json({}, { status: 503 });
        const notification = { orderId: body.orderId, type: "order.confirmed", at: new Date().toISOString() };
        const customer = (request.headers.get("authorization") ?? "").slice("Bearer ".length);
        const confirm = () => void server.publish(customer, JSON.stringify(notification));
        if (outcome === "confirmed" && this.#held === undefined) confirm();
        else if (outcome === "confirmed") this.#held?.push(confirm);
        return Response.json({}, { status: 202 });
      },
      websocket: { open: (socket) => void socket.subscribe(socket.data), message() {} },
    });
  }

  async goDown(): Promise<void> {
    this.#held = [];
  }

  async comeUp(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const confirm of held) confirm();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}

let store: FakeStore;
afterEach(() => store.stop());

async function loadOn(arrivals: LoadRequest["arrivals"], patienceMs: number): Promise<LoadEvent[]> {
  const { url: gateway } = store;
  const request: LoadRequest = {
    ...{ gateway, notification: gateway, customers: 3, lines: 1, warmUp: 50, orders: 250 },
    ...{ patienceMs, settleMs: 2_000, arrivals },
  };
  const events: LoadEvent[] = [];
  const errors: string[] = [];
  const generator = spawnChild(
    { entry: join(ROOT, "scripts/bench/load.ts"), env: { LOAD: JSON.stringify(request) } },
    (source, line) => {
      if (source === "stderr") errors.push(line);
      else events.push(Value.Parse(LoadEvent, JSON.parse(line)));
    },
  );
  expect([await generator.ended, ...errors]).toEqual(["exit code 0"]);
  return events;
}

const measuring = () => ({
  system: {
    ...{ gateway: store.url, notification: store.url, usage: () => new Map() },
    ...{ stop: () => store.goDown(), start: () => store.comeUp() },
  },
  lengths: { orders: 230, atOnce: 20, rates: [], seconds: 0, outage: 150, arriving: 1_000 },
  settleMs: 1,
  onLimit() {},
});
const highestRate = () => measureHighestRate(measuring());

test("orders at a rate: restocked before, each placed once, confirmed and measured", async () => {
  store = new FakeStore(() => "confirmed");
  const events = await loadOn({ perSecond: 1_000 }, 30_000);
  expect(events.map(({ event }) => event)).toEqual(["measuring", "measured", "done"]);
  expect(events.at(-1)).toMatchObject({ outcome: { orders: 250, faults: [] } });
  expect(store.placed).toBe(300);
  expect(store.restocked).toEqual([300]);
});

slowTest("what the catalogue does not show yet is not taken for stock", async () => {
  store = new FakeStore(() => "confirmed");
  store.notShownYet = { quantity: 10_000, requests: 3 };
  await loadOn({ atOnce: 20 }, 30_000);
  expect(store.restocked).toEqual([300]);
});

test("orders under way: how many end a second", async () => {
  store = new FakeStore(() => "confirmed");
  const [rate] = await highestRate();
  expect(rate).toMatchObject({ section: "Highest rate", name: "orders", unit: "a second" });
  expect(rate?.value).toBeGreaterThan(0);
  expect(store.placed).toBe(296);
});

slowTest("one order that is never confirmed is reported", async () => {
  store = new FakeStore((index) => (index === 200 ? "lost" : "confirmed"));
  const done = (await loadOn({ atOnce: 20 }, 500)).at(-1);
  const faults = expect.arrayContaining([expect.stringMatching(/of \d+ orders: not confirmed$/)]);
  expect(done).toMatchObject({ event: "done", outcome: { faults } });
});

test("with one order that is refused, there are no figures", async () => {
  store = new FakeStore((index) => (index === 200 ? "refused" : "confirmed"));
  await expect(highestRate()).rejects.toThrow("1 of 296 orders: answered with 503 instead of 202");
});

test("catch-up: all orders of the outage are placed before the services start, and all end", async () => {
  store = new FakeStore(() => "confirmed");
  let placedWhileDown = 0;
  const { system, ...rest } = measuring();
  const start = async () => {
    placedWhileDown = store.placed;
    // It is caught up with when orders have arrived.
    while (store.placed < placedWhileDown + 10) await Bun.sleep(1);
    await store.comeUp();
  };
  const figures = await measureCatchUp({ ...rest, system: { ...system, start } }, 100);
  expect(placedWhileDown).toBeGreaterThanOrEqual(150);
  expect(figures.map(({ name }) => name)).toEqual([
    "orders",
    "orders a second",
    "caught up after the start",
    "accepted meanwhile, p50",
    "accepted meanwhile, p99",
  ]);
  expect(figures[0]?.value).toBeGreaterThan(0);
  expect(figures[1]?.value).toBe((figures[0]?.value ?? 0) / 100);
});

// The warm-up alone takes 3 s.
const slowly = test.skipIf(process.env.SLOW_TESTS !== "true");
slowly("answers while the order service is down: it starts when all are answered, and all end", async () => {
  store = new FakeStore(() => "confirmed");
  let placedWhileDown = 0;
  const { system, lengths, ...rest } = measuring();
  const start = () => {
    placedWhileDown = store.placed;
    return store.comeUp();
  };
  const section = "At 100 orders a second";
  const figures = await measureAnswers(
    { ...rest, system: { ...system, start }, lengths: { ...lengths, rates: [100], seconds: 1 } },
    [{ section, name: "accepted, p50", unit: "ms", value: 1_000 }],
  );
  expect(placedWhileDown).toBe(400);
  expect(figures.map(({ section, name }) => `${section}: ${name}`)).toEqual([
    `${section}: accepted while the order service is down, p50`,
    `${section}: accepted while the order service is down, p99`,
    `${section}: accepted, p50, to that while it is down`,
  ]);
  expect(figures[2]?.value).toBe(1_000 / (figures[0]?.value ?? 0));
});

test("with one order of the outage that is lost, there are no figures", async () => {
  store = new FakeStore((index) => (index === 20 ? "lost" : "confirmed"));
  const lost = measureCatchUp({ ...measuring(), patienceMs: 100 }, 100);
  await expect(lost).rejects.toThrow("orders: not confirmed");
});

test("with services that do not start, there are no figures", async () => {
  store = new FakeStore(() => "confirmed");
  const { system, ...rest } = measuring();
  const start = () => Promise.reject(new Error("order did not start"));
  const failed = measureCatchUp({ ...rest, system: { ...system, start }, patienceMs: 100 }, 100);
  await expect(failed).rejects.toThrow("order did not start");
});
