import { request } from "./request.ts";
import type { Line, Order, Product, Session } from "./types.ts";

/* The gateway, as interfaces.md and its OpenAPI document have it. Every function throws Refused or Unreachable. */

export async function fetchProducts(): Promise<readonly Product[]> {
  return (await request<readonly Product[]>("/products")).body;
}

/** The demo's sign-in: whoever asks is who they say. */
export async function signInAs(customerId: string, role: Session["role"]): Promise<Session> {
  const body = { customerId, role };
  return (await request<Session>("/sessions", { method: "POST", body })).body;
}

interface Placed {
  readonly orderId: string;
  /** Whether the gateway had it already: nothing happened this time. */
  readonly replayed: boolean;
}

/** Places an order under an id of the client's own, so that it can be sent as often as it takes. */
export async function placeOrder(token: string, orderId: string, items: readonly Line[]): Promise<Placed> {
  const { headers } = await request("/orders", { method: "POST", token, body: { orderId, items } });
  return { orderId, replayed: headers.get("idempotent-replayed") === "true" };
}

export async function fetchOrder(token: string, orderId: string, signal?: AbortSignal): Promise<Order> {
  return (await request<Order>(`/orders/${orderId}`, { token, signal })).body;
}

/** A page of one's own orders, newest first. @param after the last order of the page before */
export async function fetchOrders(token: string, limit: number, after?: string): Promise<readonly Order[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(after === undefined ? {} : { after }) });
  return (await request<readonly Order[]>(`/orders?${query}`, { token })).body;
}

export async function cancelOrder(token: string, orderId: string): Promise<void> {
  await request(`/orders/${orderId}/cancel`, { method: "POST", token });
}

/** @param token an admin's */
export async function restock(token: string, productId: string, quantity: number): Promise<void> {
  await request(`/products/${productId}/restock`, { method: "POST", token, body: { quantity } });
}
