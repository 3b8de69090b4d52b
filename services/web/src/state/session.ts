import { computed, effect, signal } from "@preact/signals";
import { signInAs } from "../api/gateway.ts";
import type { Session } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { onStoredElsewhere, readStored, writeStored } from "./storage.ts";

const KEY = "store.session";
/** The largest delay of setTimeout. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The session of the customer who is signed in; null when nobody is. */
export const session = signal<Session | null>(readSession());
/** The customer whose session expired, until the next sign-in or sign-out. */
export const expiredCustomer = signal<string | null>(null);

export const customerId = computed(() => session.value?.customerId);
export const token = computed(() => session.value?.token);

/** Signs a customer in. @throws Refused, Unreachable */
export async function signIn(customerId: string): Promise<void> {
  const next = await signInAs(customerId, "customer");
  expiredCustomer.value = null;
  writeStored(KEY, next);
  session.value = next;
}

export function signOut(): void {
  expiredCustomer.value = null;
  writeStored(KEY, undefined);
  session.value = null;
}

/** Ends a session with an invalid token; the page asks its customer to sign in again. */
export function expire(): void {
  const ended = session.peek();
  if (ended === null) return;
  signOut();
  expiredCustomer.value = ended.customerId;
}

function readSession(): Session | null {
  const stored = readStored(KEY);
  if (!isRecord(stored)) return null;
  const { token, customerId, role, expiresAt } = stored;
  const texts = typeof token === "string" && typeof customerId === "string" && typeof expiresAt === "string";
  if (!texts || (role !== "customer" && role !== "admin")) return null;
  return Date.parse(expiresAt) > Date.now() ? { token, customerId, role, expiresAt } : null;
}

// A sign-in or sign-out in one tab applies to all tabs.
onStoredElsewhere(
  () => KEY,
  () => {
    session.value = readSession();
  },
);

effect(() => {
  const current = session.value;
  if (current === null) return;
  const leftMs = Date.parse(current.expiresAt) - Date.now();
  const timer = setTimeout(expire, Math.min(Math.max(0, leftMs), MAX_DELAY_MS));
  return () => clearTimeout(timer);
});
