import { Identifier, ProductWithdrawn, UnitPrice } from "@distributed-messaging/contracts";
import type { UnitOfWork } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { causeOf, documented } from "@distributed-messaging/service/http";
import { authenticate, requireAdmin, type TokenVerifier } from "@distributed-messaging/service/identity";
import type { ServiceApp } from "@distributed-messaging/service/run";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { availableOf } from "./domain.ts";
import { changeProduct } from "./handlers.ts";
import type { InventoryStore, Product } from "./store.ts";

const Count = Type.Integer({ minimum: 0 });
const StockAnswer = Type.Object(
  {
    productId: Identifier,
    name: Type.String(),
    price: UnitPrice,
    onHand: Count,
    reserved: Count,
    available: Count,
  },
  {
    examples: [
      {
        productId: "PRODUCT_001",
        name: "Espresso cup",
        price: { amount: 1000, currency: "EUR" },
        onHand: 10,
        reserved: 2,
        available: 8,
      },
    ],
  },
);

const STOCK = { name: "stock", description: "What is on hand, and what is reserved for orders" };
const TESTING = {
  name: "testing",
  description: "For tests and demonstrations: present only where the settings allow it",
};

interface InventoryRoutes {
  readonly store: InventoryStore;
  readonly unitOfWork: UnitOfWork;
  /** Whether tests may seed and clear the store. */
  readonly automationTesting: boolean;
  readonly verifier: TokenVerifier;
}

/** How much there is of each product, and what tests need where the settings allow it. */
export function inventoryRoutes(options: InventoryRoutes) {
  return options.automationTesting ? withTestRoutes(options) : stockRoutes(options);
}

/** The HTTP interface, with the routes that only some settings allow. */
export type App = ServiceApp<ReturnType<typeof withTestRoutes>>;

function stockRoutes({ store }: InventoryRoutes) {
  return new Elysia().get(
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
      detail: documented("How much of a product there is", {
        operationId: "getStock",
        tag: STOCK,
        answers: { 200: StockAnswer },
        problems: [404],
      }),
    },
  );
}

function withTestRoutes(options: InventoryRoutes) {
  const { store, unitOfWork, verifier } = options;
  return stockRoutes(options)
    .post(
      "/automation-testing/seed",
      async ({ request }) => {
        const added = await unitOfWork.run((transaction) => {
          const absent = demoCatalogue.filter(({ productId }) => store.product(productId) === undefined);
          for (const product of absent) changeProduct(store, { ...product, reserved: 0 }, transaction);
          return absent.length;
        }, causeOf(request));
        return { products: demoCatalogue.length, added };
      },
      {
        detail: documented("Adds the products of the demo catalogue that are missing", {
          operationId: "seed",
          tag: TESTING,
          answers: { 200: Type.Object({ products: Count, added: Count }) },
          problems: [503],
        }),
      },
    )
    .delete(
      "/automation-testing/all",
      async ({ request }) => {
        requireAdmin(await authenticate(request, verifier));
        const withdrawn = await unitOfWork.run((transaction) => {
          const products = store.clear();
          for (const product of products) transaction.emit(ProductWithdrawn, product);
          return products.length;
        }, causeOf(request));
        return { withdrawn };
      },
      {
        detail: documented("Withdraws every product and deletes every reservation (admin)", {
          operationId: "clear",
          tag: TESTING,
          answers: { 200: Type.Object({ withdrawn: Count }) },
          access: "admin",
        }),
      },
    );
}

type Demo = Omit<Product, "version" | "reserved">;

const eur = (amount: number) => ({ amount, currency: "EUR" });

/** What the demo store sells. The walk-through in the README relies on the first two. */
const demoCatalogue: readonly Demo[] = [
  { productId: "PRODUCT_001", name: "Espresso cup", price: eur(1000), onHand: 10 },
  { productId: "PRODUCT_002", name: "Saucer", price: eur(500), onHand: 15 },
  { productId: "PRODUCT_003", name: "Moka pot, 3 cups", price: eur(3450), onHand: 8 },
  { productId: "PRODUCT_004", name: "Hand grinder", price: eur(5900), onHand: 5 },
  { productId: "PRODUCT_005", name: "Gooseneck kettle", price: eur(6900), onHand: 4 },
  { productId: "PRODUCT_006", name: "Paper filters, 100", price: eur(650), onHand: 200 },
  { productId: "PRODUCT_007", name: "Pour-over dripper", price: eur(2200), onHand: 12 },
  { productId: "PRODUCT_008", name: "Scale with timer", price: eur(4500), onHand: 6 },
  { productId: "PRODUCT_009", name: "Milk jug", price: eur(1850), onHand: 20 },
  { productId: "PRODUCT_010", name: "Tamper", price: eur(2700), onHand: 9 },
  { productId: "PRODUCT_011", name: "House blend, 1 kg", price: eur(2400), onHand: 60 },
  { productId: "PRODUCT_012", name: "Last year's calendar", price: eur(300), onHand: 0 },
];
