import { computed, effect, signal } from "@preact/signals";
import { fetchIdentity, signInAs } from "../api/gateway.ts";
import { isCallback, issuerFlow } from "../api/oidc.ts";
import { backoffMs, messageOf, Refused } from "../api/request.ts";
import type { Session } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { signInMode, supervisorUrl } from "../settings.ts";
import { onStoredElsewhere, readStored, writeStored } from "./storage.ts";

const KEY = "store.session";
/** The name of the Web Lock of whichever tab renews the token. */
const RENEWAL_LOCK = "store.renewal";
/** The largest delay of setTimeout. */
const MAX_DELAY_MS = 2 ** 31 - 1;
/** How long before its expiry a token is renewed; one that is valid for less than twice as long, at half of that. */
const RENEWAL_MS = 60_000;

/** The session of the customer who is signed in; null when nobody is. */
export const session = signal<Session | null>(readSession());
/** The customer whose session expired, until the next sign-in or sign-out; also after a reload. */
export const expiredCustomer = signal<string | null>(readExpired());
/** Why a sign-in at the issuer failed, or a renewal does so far. */
export const signInProblem = signal<string | null>(null);

export const customerId = computed(() => session.value?.customerId);
export const token = computed(() => session.value?.token);
/** Whether this visitor may do what admins do: in the demo with a supervisor everybody may. */
export const isOperator = computed(
  () => session.value?.role === "admin" || (signInMode === "demo" && supervisorUrl !== undefined),
);

const TOUR_PREFIX = "TOUR_";

/** A customer for the orders of a tour whose visitor is not signed in. */
export function newTourCustomer(): string {
  return `${TOUR_PREFIX}${crypto.randomUUID().slice(0, 8)}`;
}

export function isTourCustomer(customer: string): boolean {
  return customer.startsWith(TOUR_PREFIX);
}

/** Signs a customer in by the demo's sign-in. @throws Refused, Unreachable */
export async function signIn(customerId: string): Promise<void> {
  const next = await signInAs(customerId, "customer");
  expiredCustomer.value = null;
  store(next);
}

/** Leaves the page for the issuer, which sends its visitor back. @throws Refused, Unreachable */
export async function goToIssuer(): Promise<void> {
  if (issuerFlow === undefined) return;
  window.location.assign(await issuerFlow.authorizationUrl(window.location.hash));
}

/** Completes a sign-in when the issuer has sent its visitor back to this address. Never throws. */
export async function completeSignIn(): Promise<void> {
  const callback = new URL(window.location.href);
  if (issuerFlow === undefined || signInMode !== "oidc" || !isCallback(callback)) return;
  // A code is good for one use only: a reload must not use it again.
  window.history.replaceState(null, "", "/");
  try {
    const { tokens, returnTo } = await issuerFlow.redeem(callback);
    if (returnTo !== "") window.location.replace(returnTo);
    const { customerId, role } = await fetchIdentity(tokens.token);
    store({ customerId, role, ...tokens });
    expiredCustomer.value = null;
    signInProblem.value = null;
  } catch (error) {
    signInProblem.value = `The sign-in was not completed. ${messageOf(error)}`;
  }
}

/** Signs out here, and at the issuer if there is one and it answers. */
export async function signOut(): Promise<void> {
  const ended = session.peek();
  forget();
  if (issuerFlow === undefined || signInMode !== "oidc" || ended === null) return;
  const { refreshToken, idToken } = ended;
  const url = await issuerFlow.endSession({ refreshToken, idToken }).catch(() => undefined);
  if (url !== undefined) window.location.assign(url);
}

/** Ends a session with an invalid token; the page asks its customer to sign in again. */
function expire(): void {
  const ended = session.peek();
  if (ended === null) return;
  forget();
  writeStored(KEY, { customerId: ended.customerId });
  expiredCustomer.value = ended.customerId;
}

/** The token that replaced a refused one: when it is refused too, a further one is of no use. */
let replacement: string | undefined;

/** A service has refused a token: it is renewed where that is possible; otherwise the session ends. */
export function tokenRefused(refused: string): void {
  const current = session.peek();
  if (current === null || current.token !== refused) return;
  const isHopeless = refused === replacement && Date.parse(current.expiresAt) > Date.now();
  if (current.refreshToken === undefined || isHopeless) {
    expire();
    return;
  }
  void renew().then(() => {
    replacement = token.peek();
  });
}

let renewing: Promise<void> | undefined;

/** Replaces the token by a new one of the issuer; ends the session when the issuer refuses. Never rejects. */
function renew(): Promise<void> {
  renewing ??= renewInTurn().finally(() => {
    renewing = undefined;
  });
  return renewing;
}

async function renewInTurn(): Promise<void> {
  const old = token.peek();
  for (let failures = 1; ; failures++) {
    try {
      // One tab after the other: an issuer takes the second use of a refresh token for a theft (RFC 9700 §4.14.2).
      await navigator.locks.request(RENEWAL_LOCK, () => renewOnce(old));
      signInProblem.value = null;
      return;
    } catch (error) {
      if (error instanceof Refused) return expire();
      signInProblem.value = `The sign-in cannot be renewed just now; this page goes on trying. ${messageOf(error)}`;
      await new Promise((resolve) => setTimeout(resolve, backoffMs(failures)));
    }
  }
}

/** @throws Refused, Unreachable */
async function renewOnce(old: string | undefined): Promise<void> {
  const before = session.peek();
  if (issuerFlow === undefined || before?.refreshToken === undefined || before.token !== old) return;
  const stored = readSession() ?? before;
  if (stored.token !== old) {
    // Another tab has renewed it.
    session.value = stored;
    return;
  }
  const tokens = await issuerFlow.renewTokens(before.refreshToken);
  // Its customer may have signed out meanwhile.
  if (token.peek() !== old) return;
  store({
    ...before,
    token: tokens.token,
    expiresAt: tokens.expiresAt,
    // An issuer that does not rotate its refresh tokens, or gives no further ID token, sends none.
    refreshToken: tokens.refreshToken ?? before.refreshToken,
    idToken: tokens.idToken ?? before.idToken,
  });
}

function store(next: Session): void {
  writeStored(KEY, next);
  session.value = next;
}

function forget(): void {
  expiredCustomer.value = null;
  signInProblem.value = null;
  writeStored(KEY, undefined);
  session.value = null;
}

/** The stored session, unless it has expired and cannot be renewed. */
function readSession(): Session | null {
  const stored = readStored(KEY);
  if (!isRecord(stored)) return null;
  const { token, customerId, role, expiresAt, refreshToken, idToken } = stored;
  const texts = typeof token === "string" && typeof customerId === "string" && typeof expiresAt === "string";
  if (!texts || (role !== "customer" && role !== "admin")) return null;
  const isRenewable = signInMode === "oidc" && typeof refreshToken === "string";
  if (!isRenewable && !(Date.parse(expiresAt) > Date.now())) return null;
  return {
    token,
    customerId,
    role,
    expiresAt,
    ...(isRenewable ? { refreshToken } : {}),
    ...(typeof idToken === "string" ? { idToken } : {}),
  };
}

/** The customer of a stored session that is over. */
function readExpired(): string | null {
  const stored = readStored(KEY);
  const customer = isRecord(stored) ? stored.customerId : undefined;
  return typeof customer === "string" && readSession() === null ? customer : null;
}

// A sign-in or sign-out in one tab applies to all tabs.
onStoredElsewhere(
  () => KEY,
  () => {
    session.value = readSession();
    expiredCustomer.value = readExpired();
  },
);

effect(() => {
  const current = session.value;
  if (current === null) return;
  const leftMs = Date.parse(current.expiresAt) - Date.now();
  const isRenewable = current.refreshToken !== undefined;
  const delayMs = isRenewable ? Math.max(leftMs - RENEWAL_MS, leftMs / 2) : leftMs;
  const timer = setTimeout(isRenewable ? renew : expire, Math.min(Math.max(0, delayMs), MAX_DELAY_MS));
  return () => clearTimeout(timer);
});
