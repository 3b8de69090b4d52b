import { parseJson } from "../json.ts";

/* localStorage, shared by all tabs. The content may come from another version of the page, so readers validate it. */

/** Copies of what the gateway has. They give way when the storage is full. */
export const ORDERS_KEY = "store.orders";
export const PRODUCTS_KEY = "store.products";

/** The value of a key; undefined when it is missing or not JSON. */
export function readStored(key: string): unknown {
  try {
    return parseJson(window.localStorage.getItem(key) ?? "");
  } catch {
    // No access to the storage, as in some private windows.
    return undefined;
  }
}

/** The keys that begin so. */
export function storedKeys(prefix: string): string[] {
  try {
    return Object.keys(window.localStorage).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}

/**
 * Stores a value; undefined removes the key.
 *
 * @returns whether it is stored: otherwise (a private window, a full disk) it lasts as long as the tab
 */
export function writeStored(key: string, value: unknown): boolean {
  if (write(key, value)) return true;
  write(ORDERS_KEY, undefined);
  write(PRODUCTS_KEY, undefined);
  return write(key, value);
}

function write(key: string, value: unknown): boolean {
  try {
    if (value === undefined) window.localStorage.removeItem(key);
    else window.localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Calls back when another tab changes a key that begins so, or clears the storage. */
export function onStoredElsewhere(prefix: () => string, callback: () => void): void {
  window.addEventListener("storage", ({ key }) => {
    if (key === null || key.startsWith(prefix())) callback();
  });
}
