/*
 * What outlives a reload, in localStorage, shared by all tabs. Whatever stands there may be from another version
 * of this page or from somebody's hands: every reader checks what it gets.
 */

/** The value under a key; undefined when there is none, or none that is JSON. */
export function readStored(key: string): unknown {
  try {
    const text = window.localStorage.getItem(key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Keeps a value; undefined removes it. Where nothing can be kept (a private window, a full disk) the page goes on. */
export function writeStored(key: string, value: unknown): void {
  try {
    if (value === undefined) window.localStorage.removeItem(key);
    else window.localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The basket then lasts as long as the tab.
  }
}

/** Calls back when another tab has changed a key, or cleared everything. */
export function onStoredElsewhere(key: () => string, callback: () => void): void {
  window.addEventListener("storage", (event) => {
    if (event.key === null || event.key === key()) callback();
  });
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
