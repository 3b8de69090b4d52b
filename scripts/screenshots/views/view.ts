import type { Shop } from "@distributed-messaging/e2e/page/shop";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";

/** The page in one state. Whoever adds a view or a state to the page adds it in this folder, too. */
export interface View {
  /** In the names of its pictures. */
  readonly name: string;
  /** Brings the page into the state. @param shop the shop, nobody signed in; the processes of the store may be stopped */
  readonly prepare: (shop: Shop, store: StoreSupervisor) => Promise<void>;
}

/** Of this product, the demo catalogue has none. */
export const SOLD_OUT = "PRODUCT_012";

/** Adds the products to the basket of whoever is signed in, and places it. The page shows the order. */
export async function placeOrder(shop: Shop, ...products: string[]): Promise<void> {
  for (const product of products) {
    await shop.goTo("");
    await shop.add(product);
  }
  await shop.goTo("basket");
  await shop.checkOut();
}
