import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, services } from "@distributed-messaging/services/registry";
import type { Answer } from "../support/answers.ts";
import { Customer } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";
import { proxied, proxyConfig, ReverseProxy } from "./proxy.ts";

/* The proxy of compose.yaml's profile cluster, outside of containers: HAProxy with its configuration. */

const haproxy = process.env.HAPROXY_PATH || Bun.which("haproxy");
if (haproxy === null) console.warn("skipped the tests of the proxy: HAProxy is not installed");
const LIMIT_MS = 180_000;
const PAPER = "PRODUCT_006";

test("the proxy listens for each service that has several instances, and asks each whether it is ready", () => {
  const sections = proxyConfig.split(/\n(?=\w)/);
  const namesOf = (kind: string) =>
    sections.flatMap((section) => new RegExp(`^${kind} (\\S+)`).exec(section)?.[1] ?? []);
  expect(namesOf("backend").toSorted()).toEqual([...proxied].toSorted());
  expect(namesOf("frontend").toSorted()).toEqual(["health", ...proxied].toSorted());
  for (const name of proxied) {
    const { port } = services[name];
    const [frontend, backend] = ["frontend", "backend"].map((kind) =>
      sections.find((section) => section.startsWith(`${kind} ${name}\n`)),
    );
    expect(frontend).toContain(`  bind :${port}\n  default_backend ${name}\n`);
    expect(backend).toContain(`meth GET uri /readiness ver HTTP/1.1 hdr Host ${name}\n`);
    expect(backend).toContain(`  server 1 ${name}:${port}\n  server 2 ${name}-2:${port}`);
    expect(proxyConfig).toContain(`{ nbsrv(${name}) eq 0 }`);
  }
});

/** Answers with its number, or ends the connection. */
class FakeGateway {
  readonly seen: string[] = [];
  isReady = true;
  breaks = false;
  readonly #listener: Bun.TCPSocketListener<undefined>;

  constructor(number: number) {
    this.#listener = Bun.listen<undefined>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (socket, data) => {
          const [request = ""] = data.toString().split("\r\n");
          const isCheck = request.startsWith("GET /readiness");
          if (!isCheck) this.seen.push(request);
          const status = isCheck && !this.isReady ? "503 Service Unavailable" : "200 OK";
          if (!isCheck && this.breaks) socket.terminate();
          else socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 1\r\n\r\n${number}`);
        },
      },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  stop(): void {
    this.#listener.stop(true);
  }
}

describe.skipIf(haproxy === null)("the proxy and a gateway that breaks", () => {
  let one: FakeGateway;
  let other: FakeGateway;
  let proxy: ReverseProxy;
  beforeAll(async () => {
    one = new FakeGateway(1);
    other = new FakeGateway(2);
    proxy = new ReverseProxy(haproxy ?? "", () => [one.address, other.address]);
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy.stop();
    one.stop();
    other.stop();
  });

  const post = async (headers: Record<string, string> = {}) => {
    const answer = await fetch(`${proxy.url("api-gateway")}/orders`, {
      ...{ method: "POST", headers, body: "{}", keepalive: false },
    });
    return `${answer.status} ${answer.ok ? await answer.text() : ""}`.trim();
  };

  test("requests go to both in turn", async () => {
    await eventually(async () => {
      const answered = [await post(), await post()];
      expect(answered.toSorted()).toEqual(["200 1", "200 2"]);
      return true;
    }, "both to be in use");
  });

  test("a request with an Idempotency-Key is sent to the other one where the first does not answer; without one it is not", async () => {
    one.breaks = true;
    try {
      const keyed = [await post({ "idempotency-key": "a" }), await post({ "idempotency-key": "b" })];
      expect(keyed).toEqual(["200 2", "200 2"]);
      // It may have taken effect: whether it is sent again is decided by who sent it.
      const before = one.seen.length + other.seen.length;
      const plain = [await post(), await post()];
      expect(plain.toSorted()).toEqual(["200 2", "502"]);
      expect(one.seen.length + other.seen.length).toBe(before + 2);
    } finally {
      one.breaks = false;
    }
  });

  test("one that is not ready gets no request, and none that is ready is 503", async () => {
    const healthy = async () => (await fetch(proxy.url("health"), { keepalive: false })).status;
    one.isReady = false;
    try {
      await eventually(async () => {
        const answered = [await post(), await post(), await post()];
        expect(answered).toEqual(["200 2", "200 2", "200 2"]);
        return true;
      }, "the other one to be the only one in use");
      expect(await healthy()).toBe(200);
      other.isReady = false;
      await eventually(async () => (await healthy()) === 503, "the proxy to say that nobody is ready");
      await eventually(async () => (await post()) === "503", "the proxy to have no gateway");
    } finally {
      one.isReady = true;
      other.isReady = true;
    }
    await proxy.hasBoth("api-gateway");
  });
});

(runsSlowTests && haproxy !== null ? describeOwn : describe.skip)(
  "two instances of each service behind the proxy",
  () => {
    const store = useOwnStore({ replicas: 2 });
    const instancesOf = (name: ServiceName) =>
      store.supervisor.instances.filter(({ service }) => service === name);
    let proxy: ReverseProxy;
    beforeAll(async () => {
      proxy = new ReverseProxy(haproxy ?? "", (name) =>
        instancesOf(name).map(({ url }) => new URL(url).host),
      );
      await proxy.ready();
    }, LIMIT_MS);
    afterAll(() => proxy.stop());

    test(
      "gateways are killed and stopped: no order is refused, no gateway says that it does not know one, and its customer is told once",
      async () => {
        await store.seed();
        const at = { gateway: proxy.url("api-gateway"), notification: proxy.url("notification") };
        const admin = await Customer.signIn(at, "ADMIN_proxy", "admin");
        expect((await admin.restock(PAPER, 10_000)).status).toBe(202);
        const customer = await Customer.signIn(at, "CUSTOMER_proxy");
        const listener = customer.listen();
        expect(await listener.opened()).toBe(true);
        const refused: Answer[] = [];
        const notShown: Answer[] = [];
        const placed: string[] = [];
        let isOver = false;
        const load = async (sender: number) => {
          for (let number = 0; !isOver || number < 10; number += 1) {
            const orderId = `proxy-${sender}-${number}`;
            const order = { orderId, items: [{ productId: PAPER, quantity: 1 }] };
            const answer = await customer.tryToPlace(order, { "idempotency-key": orderId });
            if (answer.status === 202) placed.push(orderId);
            else refused.push(answer);
            // At whichever gateway is next.
            const token = answer.headers.get("consistency-token") ?? "";
            const ask = () => customer.askForOrder(orderId, { "consistency-token": token });
            let shown = await ask();
            // It has waited for the order for as long as it may, and the client asks again.
            while (JSON.stringify(shown.body).includes("not-consistent-yet")) shown = await ask();
            if (shown.status !== 200) notShown.push(shown);
          }
        };
        const loads = [0, 1].map(load);
        try {
          const gateways = instancesOf("api-gateway").map(({ name }) => store.process(name));
          for (const gateway of gateways) {
            const orders = async () => {
              const before = placed.length;
              await eventually(() => placed.length >= before + 5, "orders to be placed without it");
            };
            await gateway.kill();
            await orders();
            await eventually(() => gateway.state === "ready", "it to be back");
            await proxy.hasBoth("api-gateway");
            await gateway.stop();
            await orders();
            await gateway.start();
            await proxy.hasBoth("api-gateway");
          }
        } finally {
          isOver = true;
        }
        await Promise.all(loads);
        expect([refused, notShown]).toEqual([[], []]);
        const expected = placed.flatMap((id) => [`${id} order.received`, `${id} order.confirmed`]).toSorted();
        const told = () => listener.received.map(({ orderId, type }) => `${orderId} ${type}`).toSorted();
        await eventually(() => told().length >= expected.length, "the notifications");
        expect(told()).toEqual(expected);
        await listener.terminate();
        // Whichever instance is asked, the one that leads answers.
        const stock = await fetch(`${proxy.url("inventory")}/stock/${PAPER}`, { keepalive: false });
        expect(await stock.json()).toMatchObject({ reserved: placed.length });
      },
      LIMIT_MS,
    );
  },
);
