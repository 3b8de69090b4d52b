import { urlOf } from "@distributed-messaging/supervisor/store";
import { runCommand } from "./command/command.ts";
import { GatewayClient, type OrderLine, type OrderView } from "./post-order/gateway-client.ts";
import { readSettings, UsageError } from "./start/settings.ts";

/**
 * `bun run post-order-1`, `post-order-2`: places a demo order and prints what becomes of it until it is final, or
 * has to wait for stock. Placing it again has no second effect. API_GATEWAY_URL names a gateway elsewhere.
 */

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

async function main(): Promise<number> {
  const orderId = process.argv[2] ?? "";
  const items = ORDERS[orderId];
  if (items === undefined) throw new UsageError(`expected one of ${Object.keys(ORDERS).join(", ")}`);
  const gateway = new GatewayClient(gatewayUrl());
  await gateway.signIn(CUSTOMER);
  await catalogueHas(gateway, items);
  const { replayed } = await gateway.placeOrder(orderId, items);
  console.log(`${orderId} accepted${replayed ? ", as before: it is placed once only" : ""}`);
  return follow(gateway, orderId);
}

function gatewayUrl(): string {
  const named = process.env.API_GATEWAY_URL?.trim();
  if (named) return named.replace(/\/+$/, "");
  const { host, ports } = readSettings(process.env);
  return urlOf(host, ports["api-gateway"]);
}

/** The gateway prices from its own copy of the catalogue, which a new store has a moment after its seed. */
async function catalogueHas(gateway: GatewayClient, items: readonly OrderLine[]): Promise<void> {
  const deadline = performance.now() + CATALOGUE_TIMEOUT_MS;
  for (;;) {
    const known = await gateway.productIds();
    const missing = items.map(({ productId }) => productId).filter((id) => !known.includes(id));
    if (missing.length === 0) return;
    if (performance.now() > deadline) {
      throw new UsageError(
        `the gateway does not sell ${missing.join(", ")}; POST /automation-testing/seed at the inventory service makes the demo catalogue`,
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
      // The order is accepted: a gateway that is away for a moment changes nothing about that.
      if (performance.now() > deadline) throw error;
      return undefined;
    });
    if (order !== undefined && order.status !== shown) {
      shown = order.status;
      console.log(describe(order));
    }
    if (!["accepted", "pending"].includes(shown)) return 0;
    if (performance.now() > deadline) {
      console.log(`${orderId} is still ${shown}: a part of the store is away; it goes on when that is back`);
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
  return `${orderId} backordered: it waits for ${missing || "stock"}, and is confirmed by itself once there is enough`;
}

await runCommand("post-order", main);
