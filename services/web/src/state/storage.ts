import { parseJson } from "../json.ts";

/* localStorage, shared by all tabs. The content may come from another version of the page, so readers validate it. */

/** The value of a key; undefined when it is missing or not JSON. */
export function readStored(key: string): unknown {
  try {
    return parseJson(window.localStorage.getItem(key) ?? "");
  } catch {
    // No access to the storage, as in some private windows.
    return undefined;
  }
}

/** Stores a value; undefined removes the key. Without storage (a private window, a full disk) it does nothing. */
export function writeStored(key: string, value: unknown): void {
  try {
    if (value === undefined) window.localStorage.removeItem(key);
    else window.localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The value then lasts as long as the tab.
  }
}

/** Calls back when another tab changes the key, or clears the storage. */
export function onStoredElsewhere(key: () => string, callback: () => void): void {
  window.addEventListener("storage", (event) => {
    if (event.key === null || event.key === key()) callback();
  });
}
