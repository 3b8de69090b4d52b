import type { Product } from "./store.ts";

type Demo = Omit<Product, "version" | "reserved">;

const eur = (amount: number) => ({ amount, currency: "EUR" });

/** What the demo store sells. The first two are what the walk-through in the README counts on. */
export const demoCatalogue: readonly Demo[] = [
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
