import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { GatewayClient, seedCatalogue } from "../command/client.ts";
import { percentile, report } from "./measure.ts";

const ORDERS = 2_000;
const CLIENTS = 50;
/** Orders that are placed one at a time, to measure the latency of an idle store. */
const SINGLE_ORDERS = 100;

/** Measures a store of processes: the orders that it takes a second, and the time until one is confirmed. */
export async function benchStore(): Promise<void> {
  const dataDir = join(tmpdir(), `bench-${crypto.randomUUID()}`);
  const env = {
    ...{ AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn" },
    // One customer sends as much as the store can take.
    ...{ RATE_LIMIT_ORDERS: "0", MAX_WAITING_ORDERS: "1000000" },
  };
  const store = new StoreSupervisor({ dataDir, env });
  try {
    await store.startAll();
    await seedCatalogue(store.url("inventory"));
    const gateway = new GatewayClient(store.url("api-gateway"));
    await gateway.signIn("BENCH");
    while ((await gateway.productIds()).length === 0) await Bun.sleep(10);
    await benchSingleOrders(gateway);
    await benchManyOrders(gateway);
  } finally {
    await store.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function benchSingleOrders(gateway: GatewayClient): Promise<void> {
  const timesMs: number[] = [];
  for (let i = 0; i < SINGLE_ORDERS; i++) {
    const startedAt = performance.now();
    await place(gateway, `SINGLE-${i}`);
    await untilDecided(gateway, `SINGLE-${i}`, 1);
    timesMs.push(performance.now() - startedAt);
  }
  report("One order at a time, from POST to its decision", [
    { what: "half of them within", value: percentile(timesMs, 0.5), unit: "ms" },
    { what: "99 of 100 within", value: percentile(timesMs, 0.99), unit: "ms" },
  ]);
}

async function benchManyOrders(gateway: GatewayClient): Promise<void> {
  const startedAt = performance.now();
  let next = 0;
  const client = async () => {
    for (let i = next++; i < ORDERS; i = next++) await place(gateway, `MANY-${i}`);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const acceptedS = (performance.now() - startedAt) / 1_000;
  // The last ones first: by then, most of the earlier ones are decided.
  for (let i = ORDERS - 1; i >= 0; i--) await untilDecided(gateway, `MANY-${i}`, 5);
  const decidedS = (performance.now() - startedAt) / 1_000;
  report(`${ORDERS.toLocaleString("en")} orders from ${CLIENTS} clients at once`, [
    { what: "accepted, on disk", value: ORDERS / acceptedS, unit: "orders/s" },
    { what: "decided, through all services", value: ORDERS / decidedS, unit: "orders/s" },
  ]);
}

async function place(gateway: GatewayClient, orderId: string): Promise<void> {
  await gateway.placeOrder(orderId, [{ productId: "PRODUCT_006", quantity: 1 }]);
}

/** Resolves when the order is confirmed, or waits for stock. */
async function untilDecided(gateway: GatewayClient, orderId: string, pollMs: number): Promise<void> {
  while (["accepted", "pending"].includes((await gateway.order(orderId)).status)) await Bun.sleep(pollMs);
}
