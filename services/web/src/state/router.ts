import { computed, signal } from "@preact/signals";

/** The current view. In the fragment of the URL, because the paths belong to the gateway's HTTP interface. */
export type Route =
  | { readonly view: "shop" | "basket" | "orders" | "figures" | "tour" | "unknown" }
  | { readonly view: "admin"; readonly section: AdminSection }
  | { readonly view: "order"; readonly orderId: string };

const plain = ["basket", "orders", "figures", "tour"] as const;

export type AdminSection = "overview" | "stock" | "dead-letters" | "topics";
const sections: readonly AdminSection[] = ["stock", "dead-letters", "topics"];

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
  if (path === "admin") return { view: "admin", section: "overview" };
  const section = sections.find((name) => `admin/${name}` === path);
  if (section !== undefined) return { view: "admin", section };
  const orderId = /^orders\/([A-Za-z0-9_-]{1,64})$/.exec(path)?.[1];
  return orderId === undefined ? { view: "unknown" } : { view: "order", orderId };
}

export const hrefOf = {
  shop: "#/",
  basket: "#/basket",
  orders: "#/orders",
  admin: "#/admin",
  stock: "#/admin/stock",
  deadLetters: "#/admin/dead-letters",
  topics: "#/admin/topics",
  figures: "#/figures",
  tour: "#/tour",
  order: (orderId: string) => `#/orders/${orderId}`,
} as const;

export function goTo(href: string): void {
  window.location.hash = href;
}
