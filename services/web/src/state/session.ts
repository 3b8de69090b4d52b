import { computed, effect, signal } from "@preact/signals";
import { signInAs } from "../api/gateway.ts";
import type { Session } from "../api/types.ts";
import { isRecord, onStoredElsewhere, readStored, writeStored } from "./storage.ts";

const KEY = "store.session";
/** The longest delay that setTimeout takes. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Who is signed in; null when nobody is. */
export const session = signal<Session | null>(readSession());
/** The customer whose session ran out, until somebody signs in or out. */
export const expiredCustomer = signal<string | null>(null);

export const customerId = computed(() => session.value?.customerId);
export const token = computed(() => session.value?.token);

/** Signs a customer in. @throws Refused, Unreachable */
export async function signIn(customerId: string): Promise<void> {
  adopt(await signInAs(customerId, "customer"));
}

export function signOut(): void {
  expiredCustomer.value = null;
  writeStored(KEY, undefined);
  session.value = null;
}

/** The token is good no more: whoever it was is asked to sign in again. */
export function expire(): void {
  const ended = session.peek();
  if (ended === null) return;
  signOut();
  expiredCustomer.value = ended.customerId;
}

function adopt(next: Session): void {
  expiredCustomer.value = null;
  writeStored(KEY, next);
  session.value = next;
}

function readSession(): Session | null {
  const stored = readStored(KEY);
  if (!isRecord(stored)) return null;
  const { token, customerId, role, expiresAt } = stored;
  const texts = typeof token === "string" && typeof customerId === "string" && typeof expiresAt === "string";
  if (!texts || (role !== "customer" && role !== "admin")) return null;
  return Date.parse(expiresAt) > Date.now() ? { token, customerId, role, expiresAt } : null;
}

// Signing out in one tab signs out in all of them.
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

let admin: Promise<Session> | undefined;

/** A token for what only the people behind the counter may do. Kept in memory only. @throws Refused, Unreachable */
export async function adminToken(): Promise<string> {
  admin ??= signInAs("STAFF", "admin");
  try {
    const { token, expiresAt } = await admin;
    if (Date.parse(expiresAt) > Date.now()) return token;
    admin = signInAs("STAFF", "admin");
    return (await admin).token;
  } catch (error) {
    admin = undefined;
    throw error;
  }
}

/** The next use asks for a new one: the store may have been started from empty data meanwhile. */
export function forgetAdmin(): void {
  admin = undefined;
}
