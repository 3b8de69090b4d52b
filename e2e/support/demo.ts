import type { OrderRequest } from "./customer.ts";

/** What `bun run post-order-1` and `post-order-2` ask for, as CUSTOMER_001. */
export const demoOrders = {
  ORDER_001: {
    orderId: "ORDER_001",
    items: [
      { productId: "PRODUCT_001", quantity: 3 },
      { productId: "PRODUCT_002", quantity: 2 },
    ],
  },
  ORDER_002: { orderId: "ORDER_002", items: [{ productId: "PRODUCT_001", quantity: 2 }] },
} as const satisfies Record<string, OrderRequest>;
