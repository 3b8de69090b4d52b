import { Identifier, ProductWithdrawn } from "@distributed-messaging/contracts";
import type { UnitOfWork } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { causeOf } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { demoCatalogue } from "./catalogue.ts";
import { availableOf } from "./domain.ts";
import { changeProduct } from "./handlers.ts";
import type { InventoryStore } from "./store.ts";

export interface InventoryRoutes {
  readonly store: InventoryStore;
  readonly unitOfWork: UnitOfWork;
  /** Whether tests may fill and empty the store. */
  readonly automationTesting: boolean;
}

export function inventoryRoutes({ store, unitOfWork, automationTesting }: InventoryRoutes) {
  const stock = new Elysia().get(
    "/stock/:productId",
    ({ params: { productId } }) => {
      const product = store.product(productId);
      if (product === undefined) {
        throw new ServiceError("not-found", "product-not-found", `There is no product ${productId}.`);
      }
      const { name, price, onHand, reserved } = product;
      return { productId, name, price, onHand, reserved, available: availableOf(product) };
    },
    {
      params: Type.Object({ productId: Identifier }),
      detail: { summary: "How much of a product there is" },
    },
  );
  if (!automationTesting) return stock;
  return stock
    .post(
      "/automation-testing/seed",
      async ({ request }) => {
        const added = await unitOfWork.run((transaction) => {
          const missing = demoCatalogue.filter(({ productId }) => store.product(productId) === undefined);
          for (const product of missing) changeProduct(store, { ...product, reserved: 0 }, transaction);
          return missing.length;
        }, causeOf(request));
        return { products: demoCatalogue.length, added };
      },
      { detail: { summary: "Adds the products of the demo catalogue that are missing" } },
    )
    .delete(
      "/automation-testing/all",
      async ({ request }) => {
        const withdrawn = await unitOfWork.run((transaction) => {
          const products = store.clear(transaction);
          for (const product of products) transaction.emit(ProductWithdrawn, product);
          return products.length;
        }, causeOf(request));
        return { withdrawn };
      },
      { detail: { summary: "Withdraws every product and forgets every reservation" } },
    );
}
