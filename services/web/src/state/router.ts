import { computed, signal } from "@preact/signals";

/** Where in the page somebody is. After the `#`, so that the gateway's own paths stay the interface's. */
export type Route =
  | { readonly view: "shop" | "basket" | "orders" | "counter" | "figures" | "tour" | "nowhere" }
  | { readonly view: "order"; readonly orderId: string };

const plain = ["basket", "orders", "counter", "figures", "tour"] as const;

const hash = signal(window.location.hash);
window.addEventListener("hashchange", () => {
  hash.value = window.location.hash;
});

export const route = computed<Route>(() => parseRoute(hash.value));

function parseRoute(text: string): Route {
  const path = text.replace(/^#\/?/, "").replace(/\/$/, "");
  if (path === "") return { view: "shop" };
  const view = plain.find((name) => name === path);
  if (view !== undefined) return { view };
  const orderId = /^orders\/([A-Za-z0-9_-]{1,64})$/.exec(path)?.[1];
  return orderId === undefined ? { view: "nowhere" } : { view: "order", orderId };
}

export const hrefOf = {
  shop: "#/",
  basket: "#/basket",
  orders: "#/orders",
  counter: "#/counter",
  figures: "#/figures",
  tour: "#/tour",
  order: (orderId: string) => `#/orders/${orderId}`,
} as const;

export function goTo(href: string): void {
  window.location.hash = href;
}
