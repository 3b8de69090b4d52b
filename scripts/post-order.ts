import { escapeInvisible } from "@distributed-messaging/messaging";
import { ConfigError } from "@distributed-messaging/service/config";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { GatewayClient, type OrderLine, type OrderView } from "./command/client.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";

const CUSTOMER = "CUSTOMER_001";
const ORDERS: Readonly<Record<string, readonly OrderLine[]>> = {
  ORDER_001: [
    { productId: "PRODUCT_001", quantity: 3 },
    { productId: "PRODUCT_002", quantity: 2 },
  ],
  ORDER_002: [{ productId: "PRODUCT_001", quantity: 2 }],
};

const USAGE = `usage: bun run post-order-1 [options], bun run post-order-2 [options]
       bun run post-order ORDER_ID --item PRODUCT_ID=QUANTITY… [options]

Places an order and prints its status until it is final, or waits for stock. Placing the order again has no further
effect. post-order-1 and post-order-2 place ${Object.keys(ORDERS).join(" and ")}, whose items are known.

  --item PRODUCT_ID=QUANTITY   an item; may be repeated; in place of the items of a demo order
  --customer ID                who orders (${CUSTOMER})
  --gateway URL                the address of the gateway; without it, API_GATEWAY_URL, or HOST and API_GATEWAY_PORT`;

const CATALOGUE_TIMEOUT_MS = 15_000;
const FINAL_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

const options = {
  item: { type: "string", multiple: true },
  customer: { type: "string", default: CUSTOMER },
  gateway: { type: "string" },
} as const;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, options, 1);
  const [orderId] = positionals;
  if (orderId === undefined) throw new UsageError("expected the id of the order");
  const items = values.item?.map(orderLine) ?? ORDERS[orderId];
  if (items === undefined) {
    const demo = Object.keys(ORDERS).join(" and ");
    throw new UsageError(`${orderId} needs --item PRODUCT_ID=QUANTITY; only ${demo} have known items`);
  }
  const gateway = new GatewayClient(gatewayUrl(values.gateway));
  await gateway.signIn(values.customer);
  await untilSold(gateway, items);
  const { replayed } = await gateway.placeOrder(orderId, items);
  console.log(`${orderId} accepted${replayed ? " before; it is placed once" : ""}`);
  return follow(gateway, orderId);
}

/** @throws UsageError */
function orderLine(item: string): OrderLine {
  const match = /^([^=]+)=(\d{1,9})$/.exec(item);
  if (match?.[1] === undefined) {
    throw new UsageError(`--item: expected PRODUCT_ID=QUANTITY, got '${item}'`);
  }
  return { productId: match[1], quantity: Number(match[2]) };
}

/** @throws UsageError; ConfigError when API_GATEWAY_URL is wrong */
function gatewayUrl(given: string | undefined): string {
  const named = given ?? process.env.API_GATEWAY_URL?.trim();
  if (named) {
    if (/^https?:$/.test(URL.parse(named)?.protocol ?? "")) return named.replace(/\/+$/, "");
    const problem = `expected an http or https URL, got '${named}'`;
    if (given === undefined) throw new ConfigError([`API_GATEWAY_URL: ${problem}`]);
    throw new UsageError(`--gateway: ${problem}`);
  }
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
      throw new CommandFailed(
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
      console.log(escapeInvisible(describe(order)));
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
