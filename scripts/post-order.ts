import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { GatewayClient, type OrderLine, type OrderView } from "./command/client.ts";
import { runCommand, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run post-order-1, bun run post-order-2

Places a demo order and prints its status until it is final, or waits for stock. Placing the order again has no
further effect. API_GATEWAY_URL names the gateway; without it, HOST and API_GATEWAY_PORT do.`;

const CUSTOMER = "CUSTOMER_001";
const ORDERS: Readonly<Record<string, readonly OrderLine[]>> = {
  ORDER_001: [
    { productId: "PRODUCT_001", quantity: 3 },
    { productId: "PRODUCT_002", quantity: 2 },
  ],
  ORDER_002: [{ productId: "PRODUCT_001", quantity: 2 }],
};

const CATALOGUE_TIMEOUT_MS = 15_000;
const FINAL_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

async function main([orderId = ""]: readonly string[]): Promise<number> {
  const items = ORDERS[orderId];
  if (items === undefined) throw new UsageError(`expected one of ${Object.keys(ORDERS).join(", ")}`);
  const gateway = new GatewayClient(gatewayUrl());
  await gateway.signIn(CUSTOMER);
  await untilSold(gateway, items);
  const { replayed } = await gateway.placeOrder(orderId, items);
  console.log(`${orderId} accepted${replayed ? " before; it is placed once" : ""}`);
  return follow(gateway, orderId);
}

function gatewayUrl(): string {
  const named = process.env.API_GATEWAY_URL?.trim();
  if (named) return named.replace(/\/+$/, "");
  const { host, ports } = readSettings(process.env);
  return urlOf(host, ports["api-gateway"]);
}

/** Waits until the gateway's projection of the catalogue, which follows the inventory's, has the products. */
async function untilSold(gateway: GatewayClient, items: readonly OrderLine[]): Promise<void> {
  const deadline = performance.now() + CATALOGUE_TIMEOUT_MS;
  for (;;) {
    const sold = await gateway.productIds();
    const missing = items.map(({ productId }) => productId).filter((id) => !sold.includes(id));
    if (missing.length === 0) return;
    if (performance.now() > deadline) {
      throw new UsageError(
        `the gateway does not sell ${missing.join(", ")}; POST /automation-testing/seed of the inventory creates the demo catalogue`,
      );
    }
    await Bun.sleep(POLL_MS);
  }
}

async function follow(gateway: GatewayClient, orderId: string): Promise<number> {
  const deadline = performance.now() + FINAL_TIMEOUT_MS;
  let shown = "accepted";
  for (;;) {
    const order = await gateway.order(orderId).catch((error: unknown) => {
      // The order is accepted: an outage of the gateway does not change that.
      if (performance.now() > deadline) throw error;
      return undefined;
    });
    if (order !== undefined && order.status !== shown) {
      shown = order.status;
      console.log(describe(order));
    }
    if (!["accepted", "pending"].includes(shown)) return 0;
    if (performance.now() > deadline) {
      console.log(
        `${orderId} is still ${shown}: a part of the store is down; the order continues when that part is back`,
      );
      return 1;
    }
    await Bun.sleep(POLL_MS);
  }
}

function describe({ orderId, status, total, shortages, reason }: OrderView): string {
  const sum = total === undefined ? "" : `, ${(total.amount / 100).toFixed(2)} ${total.currency}`;
  if (status === "confirmed") return `${orderId} confirmed${sum}`;
  if (status !== "backordered") return `${orderId} ${status}${reason === undefined ? "" : `: ${reason}`}`;
  const missing = (shortages ?? [])
    .map(({ productId, missing: count }) => `${count} × ${productId}`)
    .join(", ");
  return `${orderId} backordered: it waits for ${missing || "stock"} and is confirmed when there is enough`;
}

await runCommand("post-order", USAGE, main);
