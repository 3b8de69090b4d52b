import { discardDeadLetter, listDeadLetters } from "../api/admin.ts";
import { cancelOrder, signInAs } from "../api/gateway.ts";
import { takeLease } from "../api/lease.ts";
import { messageOf, Refused } from "../api/request.ts";
import { fetchFigures, fetchOrderRecords, hasSupervisor } from "../api/supervisor.ts";
import { isRecord } from "../json.ts";
import { signInMode } from "../settings.ts";
import { announce } from "../state/announcer.ts";
import { session } from "../state/session.ts";
import { readStored, writeStored } from "../state/storage.ts";
import { ExpectationFailed, sleep, until } from "./until.ts";

/*
 * What a demonstration that does not come to its end leaves: processes that are stopped, which the supervisor brings
 * back (`api/lease.ts`), and what this file takes back: orders that wait or hold stock, and a dead letter. Every change is
 * stored before it is made, so that the next load of the page can take it back.
 */

const KEY = "store.tour";
/** Held by the tab that shows the tour, or takes back what one has left. */
const LOCK = "store.tour";
/** The service that parks the unreadable message. */
export const READER = "order";
const LIMIT = 500;
/** Between two attempts, while the store does not answer or another browser shows the tour. */
const RETRY_MS = 5_000;

interface Changes {
  readonly customerId: string;
  readonly orders: readonly string[];
  /** The orders that an unreadable message was published for. */
  readonly broken: readonly string[];
}

export function rememberOrder(customerId: string, orderId: string): void {
  const { orders, broken } = changesOf(customerId);
  writeStored(KEY, { customerId, orders: [...orders, orderId], broken });
}

export function rememberBroken(customerId: string, orderId: string): void {
  const { orders, broken } = changesOf(customerId);
  writeStored(KEY, { customerId, orders, broken: [...broken, orderId] });
}

/** The demonstration came to its end: its orders are as all others. */
export function keepChanges(): void {
  writeStored(KEY, undefined);
}

/**
 * Takes back what a demonstration left that did not come to its end: discards its unreadable messages, and cancels
 * those of its orders that can be cancelled. Not while a tour runs in another tab: these may be its orders.
 *
 * @returns whether its orders are cancelled; false where their customer has signed out at an issuer: they are kept in mind
 * @throws Refused while a tour runs; Unreachable, ExpectationFailed when the store does not answer
 */
export async function undoChanges(): Promise<boolean> {
  const lease = await takeLease();
  try {
    const { customerId, orders, broken } = readChanges() ?? { customerId: "", orders: [], broken: [] };
    for (const orderId of broken) await discardBroken(customerId, orderId);
    const token = orders.length === 0 ? undefined : await tokenOf(customerId);
    if (orders.length > 0 && token === undefined) {
      writeStored(KEY, { customerId, orders, broken: [] });
      return false;
    }
    if (token !== undefined) await Promise.all(orders.map((orderId) => cancel(token, orderId)));
    keepChanges();
    return true;
  } finally {
    lease.end();
  }
}

/**
 * Takes back what a demonstration left that ended with its page; when no tab of this browser shows the tour any more.
 * Never throws.
 */
export async function undoLeftOver(): Promise<void> {
  if (hasSupervisor && hasLeft()) await navigator.locks.request(LOCK, undoUntilDone);
}

async function undoUntilDone(): Promise<void> {
  while (hasLeft()) {
    try {
      const orders = (await undoChanges()) ? "are cancelled" : "stay until you sign in again";
      announce(`The tour was interrupted. Its orders ${orders}.`);
    } catch {
      await sleep(RETRY_MS);
    }
  }
}

/** What the service has parked of a key. */
export function deadLettersOf(key: string) {
  return listDeadLetters(READER, LIMIT, key);
}

/** Runs a demonstration while no other tab takes back what it has changed so far. */
export async function whileNothingIsUndone(demonstration: () => Promise<void>): Promise<void> {
  // Where another tab has the lock, the supervisor refuses the lease.
  await navigator.locks.request(LOCK, { ifAvailable: true }, demonstration);
}

/** Whether there is something that can be taken back. */
function hasLeft(): boolean {
  const changes = readChanges();
  if (changes === undefined) return false;
  const { customerId, orders, broken } = changes;
  return broken.length > 0 || orders.length === 0 || canSignIn(customerId);
}

async function discardBroken(customerId: string, orderId: string): Promise<void> {
  await until(`${READER} to read everything`, async () => (await fetchFigures()).lag?.[READER] === 0);
  const records = await until("the broker to answer", () => fetchOrderRecords({ orderId, customerId }));
  for (const key of new Set(records.map(({ key }) => key))) {
    if (key === null) continue;
    const letters = await until("the dead letters", () => deadLettersOf(key));
    for (const { id, reason } of letters) {
      if (reason !== "blocked") await discardDeadLetter(READER, id, "The tour was interrupted.");
    }
  }
}

async function cancel(token: string, orderId: string): Promise<void> {
  await until(`${orderId} to be cancelled`, async () => {
    try {
      await cancelOrder(token, orderId);
    } catch (error) {
      // It was not placed, or it has ended.
      if (error instanceof Refused && (error.status === 404 || error.status === 409)) return true;
      if (error instanceof Refused && error.status < 500 && error.status !== 429) {
        throw new ExpectationFailed(messageOf(error));
      }
      throw error;
    }
    return true;
  });
}

function canSignIn(customerId: string): boolean {
  return signInMode === "demo" || session.peek()?.customerId === customerId;
}

/** A token of the customer whose orders they are; undefined when there is none, as at an issuer after a sign-out. */
async function tokenOf(customerId: string): Promise<string | undefined> {
  const current = session.peek();
  if (current?.customerId === customerId) return current.token;
  if (!canSignIn(customerId)) return undefined;
  return (await until("the gateway to answer", () => signInAs(customerId, "customer"))).token;
}

function changesOf(customerId: string): Changes {
  const stored = readChanges();
  return stored?.customerId === customerId ? stored : { customerId, orders: [], broken: [] };
}

function readChanges(): Changes | undefined {
  const stored = readStored(KEY);
  if (!isRecord(stored) || typeof stored.customerId !== "string") return undefined;
  const { customerId, orders, broken } = stored;
  return { customerId, orders: texts(orders), broken: texts(broken) };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
