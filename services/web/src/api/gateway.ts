import { request } from "./request.ts";
import type { Identity, Line, Order, Product, Session } from "./types.ts";

/* The gateway's HTTP interface for customers. Every function throws Refused or Unreachable. */

export async function fetchProducts(): Promise<readonly Product[]> {
  return (await request<readonly Product[]>("/products")).body;
}

/** The demo's sign-in, without a password. */
export async function signInAs(customerId: string, role: Session["role"]): Promise<Session> {
  const body = { customerId, role };
  return (await request<Session>("/sessions", { method: "POST", body })).body;
}

/** Whom a token identifies, as the store sees it. */
export async function fetchIdentity(token: string): Promise<Identity> {
  return (await request<Identity>("/sessions/current", { token })).body;
}

interface Placed {
  readonly orderId: string;
  /** Whether the gateway already had this order. */
  readonly replayed: boolean;
}

/** Places an order under an id that the client chose, so that the request can be repeated. */
export async function placeOrder(token: string, orderId: string, items: readonly Line[]): Promise<Placed> {
  const { headers } = await request("/orders", { method: "POST", token, body: { orderId, items } });
  return { orderId, replayed: headers.get("idempotent-replayed") === "true" };
}

export async function fetchOrder(token: string, orderId: string): Promise<Order> {
  return (await request<Order>(`/orders/${orderId}`, { token })).body;
}

/** One page of the customer's orders, newest first. @param after the last order of the previous page */
export async function fetchOrders(token: string, limit: number, after?: string): Promise<readonly Order[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(after === undefined ? {} : { after }) });
  return (await request<readonly Order[]>(`/orders?${query}`, { token })).body;
}

export async function cancelOrder(token: string, orderId: string): Promise<void> {
  await request(`/orders/${orderId}/cancel`, { method: "POST", token });
}
