import type { Line } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { isLine } from "./basket.ts";
import { readStored, storedKeys, writeStored } from "./storage.ts";

/*
 * The orders that this browser keeps, each under a key of its own: two tabs that keep orders at the same time do not
 * overwrite each other's. They stay when their customer signs out, and are sent with nobody else's token.
 */

export interface KeptOrder {
  /** Stays the same, whoever sends the order and however often: the order takes effect once. */
  readonly orderId: string;
  readonly lines: readonly Line[];
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
  /** Why the gateway refused it: it is not sent again, and its customer decides. */
  readonly refusal?: string | undefined;
}

const PREFIX = "store.sending.";

/** What the browser does not store, by its key. It lasts as long as the tab. */
const unstored = new Map<string, KeptOrder>();

/** The keys of a customer begin so, those of all customers without one. Customers' ids have no dot. */
export function prefixOf(customer: string | undefined): string {
  return customer === undefined ? PREFIX : `${PREFIX}${customer}.`;
}

function keyOf(customer: string, orderId: string): string {
  return `${prefixOf(customer)}${orderId}`;
}

export function keepOrder(customer: string, { orderId, lines, placedAt, refusal }: KeptOrder): void {
  const key = keyOf(customer, orderId);
  const order = { orderId, lines, placedAt, refusal };
  if (writeStored(key, order)) unstored.delete(key);
  else unstored.set(key, order);
}

export function forgetOrder(customer: string, orderId: string): void {
  const key = keyOf(customer, orderId);
  unstored.delete(key);
  writeStored(key, undefined);
}

export function isKept(customer: string, orderId: string): boolean {
  const key = keyOf(customer, orderId);
  return unstored.has(key) || readStored(key) !== undefined;
}

/** Whether it outlasts the tab. */
export function isStored(customer: string, orderId: string): boolean {
  return !unstored.has(keyOf(customer, orderId));
}

export function keptOrders(customer: string): KeptOrder[] {
  convertList(customer);
  return keysOf(customer).flatMap(ordersAt);
}

/** Of all customers. */
export function countKeptOrders(): number {
  return keysOf(undefined).flatMap(ordersAt).length;
}

function ordersAt(key: string): KeptOrder[] {
  const stored = unstored.get(key) ?? readStored(key);
  return (Array.isArray(stored) ? stored.map(dated) : [stored]).filter(isKeptOrder);
}

function keysOf(customer: string | undefined): string[] {
  const prefix = prefixOf(customer);
  const inTab = [...unstored.keys()].filter((key) => key.startsWith(prefix));
  return [...new Set([...storedKeys(prefix), ...inTab])];
}

function dated(order: unknown): unknown {
  return isRecord(order) ? { ...order, placedAt: Date.now() } : order;
}

/** Earlier versions of the page kept a customer's orders as one list, without their times. */
function convertList(customer: string): void {
  const key = `${PREFIX}${customer}`;
  if (!Array.isArray(readStored(key))) return;
  for (const order of ordersAt(key)) keepOrder(customer, order);
  writeStored(key, undefined);
}

function isKeptOrder(value: unknown): value is KeptOrder {
  return (
    isRecord(value) &&
    typeof value.orderId === "string" &&
    /^[\w-]{1,64}$/.test(value.orderId) &&
    Array.isArray(value.lines) &&
    value.lines.every(isLine) &&
    typeof value.placedAt === "number" &&
    (value.refusal === undefined || typeof value.refusal === "string")
  );
}
