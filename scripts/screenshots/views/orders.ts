import type { Shop } from "@distributed-messaging/e2e/page/shop";
import { untilNothingWaits, untilOnlyWaits } from "../map-rests.ts";
import { placeOrder, SOLD_OUT, type View } from "./view.ts";

/** One order may wait, so that the second one is rejected. */
export const VIEW_SETTINGS = { MAX_WAITING_ORDERS: "1" };

async function untilMessage({ page }: Shop, type: string): Promise<void> {
  await page.locator(`[data-type="${type}"]`).waitFor();
  await untilNothingWaits(page);
}

/** Answers every order that is placed with an error. @param problem as the gateway answers */
async function refuseOrders({ page }: Shop, status: number, problem: object): Promise<void> {
  await page.route("**/orders", (route) =>
    route.request().method() === "POST" ? route.fulfill({ status, json: problem }) : route.continue(),
  );
}

export const orderViews = [
  {
    name: "order-sending",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_008");
      await refuseOrders(shop, 503, { detail: "The disk of the gateway is full." });
      await placeOrder(shop, "PRODUCT_001");
      await shop.page.getByText("The store cannot take it just now").waitFor();
    },
  },
  {
    name: "order-refused",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_008");
      await refuseOrders(shop, 422, {
        detail: "The order cannot be placed as it is.",
        errors: [{ path: "/items/0/productId", message: "is not a product of this store" }],
      });
      await placeOrder(shop, "PRODUCT_001");
      await shop.untilStatus("refused");
    },
  },
  {
    name: "order-accepted",
    async prepare(shop, store) {
      await store.process("order").stop();
      await shop.signIn("CUSTOMER_001");
      await placeOrder(shop, "PRODUCT_001");
      await shop.untilStatus("accepted");
      await untilOnlyWaits(shop.page, "order");
    },
  },
  {
    name: "order-pending",
    async prepare(shop, store) {
      await store.process("inventory").stop();
      await shop.signIn("CUSTOMER_001");
      await placeOrder(shop, "PRODUCT_001");
      await shop.untilStatus("pending");
      await untilOnlyWaits(shop.page, "inventory");
    },
  },
  {
    name: "order-confirmed",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_003");
      await placeOrder(shop, "PRODUCT_007");
      await shop.untilStatus("confirmed");
      await untilMessage(shop, "store.order.confirmed.v1");
    },
  },
  {
    name: "order-message",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_003");
      await placeOrder(shop, "PRODUCT_007");
      await shop.untilStatus("confirmed");
      await untilMessage(shop, "store.order.confirmed.v1");
      const reserved = shop.page.locator('.step[data-type="store.stock.reserved.v1"]');
      await reserved.locator("summary").click();
      await reserved.locator(".envelope").waitFor();
    },
  },
  {
    name: "order-backordered",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_004");
      await placeOrder(shop, "PRODUCT_009", SOLD_OUT);
      await shop.untilStatus("backordered");
      await untilMessage(shop, "store.order.backordered.v1");
    },
  },
  {
    name: "order-rejected",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_005");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("backordered");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("rejected");
      await untilMessage(shop, "store.order.rejected.v1");
    },
  },
  {
    name: "order-cancelled",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_006");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("backordered");
      await shop.page.getByRole("button", { name: /^Cancel/ }).click();
      await shop.untilStatus("cancelled");
      await untilMessage(shop, "store.order.cancelled.v1");
    },
  },
  {
    name: "order-unknown",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.goTo("orders/no-such-order");
      await shop.page.getByText("No such order on this account.").waitFor();
      await untilNothingWaits(shop.page);
    },
  },
  {
    name: "order-signed-out",
    async prepare(shop) {
      await shop.goTo("orders/no-such-order");
    },
  },
  {
    name: "orders",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_005");
      await placeOrder(shop, "PRODUCT_006", "PRODUCT_002", "PRODUCT_009");
      await shop.untilStatus("confirmed");
      await placeOrder(shop, SOLD_OUT);
      await shop.goTo("orders");
      await shop.page.locator(".order-row [data-status]").nth(1).waitFor();
      await untilNothingWaits(shop.page);
    },
  },
  {
    name: "orders-none",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_009");
      await shop.goTo("orders");
      await shop.page.getByText("No orders yet.").waitFor();
    },
  },
  {
    name: "orders-signed-out",
    async prepare(shop) {
      await shop.goTo("orders");
    },
  },
] as const satisfies readonly View[];
