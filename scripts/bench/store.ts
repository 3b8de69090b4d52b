import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { percentile, report } from "./measure.ts";

const ORDERS = 2_000;
const CLIENTS = 50;
/** Orders one after the other, for the time that one takes when nothing else is going on. */
const ALONE = 100;

/** The whole store as processes: how many orders it takes a second, and how long one takes to be confirmed. */
export async function benchStore(): Promise<void> {
  const dataDir = join(tmpdir(), `bench-${crypto.randomUUID()}`);
  const supervisor = new Supervisor({
    dataDir,
    env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn" },
    onLog: () => {},
  });
  try {
    await supervisor.startAll();
    const gateway = await Gateway.open(supervisor.url("api-gateway"), supervisor.url("inventory"));
    const alone: number[] = [];
    for (let i = 0; i < ALONE; i++) alone.push(await gateway.timeToEnd(`ALONE-${i}`));
    report("One order at a time, from POST to its end", [
      { what: "half of them within", value: percentile(alone, 0.5), unit: "ms" },
      { what: "99 of 100 within", value: percentile(alone, 0.99), unit: "ms" },
    ]);
    await benchMany(gateway);
  } finally {
    await supervisor.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function benchMany(gateway: Gateway): Promise<void> {
  const startedAt = performance.now();
  let next = 0;
  const client = async () => {
    for (let i = next++; i < ORDERS; i = next++) await gateway.place(`MANY-${i}`);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const acceptedS = (performance.now() - startedAt) / 1_000;
  await gateway.allEnded(ORDERS, "MANY-");
  const endedS = (performance.now() - startedAt) / 1_000;
  report(`${ORDERS.toLocaleString("en")} orders from ${CLIENTS} clients at once`, [
    { what: "accepted, on disk", value: ORDERS / acceptedS, unit: "orders/s" },
    { what: "ended, through all services", value: ORDERS / endedS, unit: "orders/s" },
  ]);
}

class Gateway {
  readonly #url: string;
  readonly #headers: Record<string, string>;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  }

  static async open(url: string, inventory: string): Promise<Gateway> {
    await fetch(`${inventory}/automation-testing/seed`, { method: "POST" });
    const body = JSON.stringify({ customerId: "BENCH" });
    const headers = { "content-type": "application/json" };
    const session = await fetch(`${url}/sessions`, { method: "POST", headers, body });
    const { token } = (await session.json()) as { token: string };
    const gateway = new Gateway(url, token);
    while (((await (await fetch(`${url}/products`)).json()) as unknown[]).length === 0) await Bun.sleep(10);
    return gateway;
  }

  async place(orderId: string): Promise<void> {
    const items = [{ productId: "PRODUCT_006", quantity: 1 }];
    const answer = await fetch(`${this.#url}/orders`, {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify({ orderId, items }),
    });
    if (answer.status !== 202) throw new Error(`order ${orderId}: ${answer.status}`);
    await answer.text();
  }

  async status(orderId: string): Promise<string> {
    const answer = await fetch(`${this.#url}/orders/${orderId}`, { headers: this.#headers });
    return ((await answer.json()) as { status: string }).status;
  }

  /** Milliseconds from the request until the order is confirmed or waits for stock. */
  async timeToEnd(orderId: string): Promise<number> {
    const startedAt = performance.now();
    await this.place(orderId);
    while (["accepted", "pending"].includes(await this.status(orderId))) await Bun.sleep(1);
    return performance.now() - startedAt;
  }

  /** Resolves when the last orders have ended: the others came before them in every queue of their key. */
  async allEnded(count: number, prefix: string): Promise<void> {
    for (let i = count - 1; i >= 0; i--) {
      while (["accepted", "pending"].includes(await this.status(`${prefix}${i}`))) await Bun.sleep(5);
    }
  }
}
