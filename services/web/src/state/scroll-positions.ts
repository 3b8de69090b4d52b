import { isRecord } from "../json.ts";

/*
 * Each entry of the browser's history knows how far its view was scrolled. The browser's own restoration comes before the
 * view is rendered, when the document is not as long yet.
 */

/** Scrolling is over when there was none for so long. Safari allows 100 changes of the history in 30 s. */
const SAVE_AFTER_MS = 150;
/** How long a view may take until it is as long as it was. */
const RESTORE_MS = 3_000;

let saving: ReturnType<typeof setTimeout> | undefined;
/** Where the current entry was scrolled, from its selection until its view is rendered: until then nothing is saved. */
let target: number | undefined;
let stopRestoring: () => void = () => {};

function save(): void {
  clearTimeout(saving);
  if (target !== undefined) return;
  window.history.replaceState({ scrollY: window.scrollY }, "");
}

/** Records how far the view is scrolled, in each entry of the history. */
export function followScrolling(): void {
  window.history.scrollRestoration = "manual";
  window.addEventListener(
    "scroll",
    () => {
      clearTimeout(saving);
      saving = setTimeout(save, SAVE_AFTER_MS);
    },
    { passive: true },
  );
  let hash = window.location.hash;
  window.addEventListener("popstate", () => {
    clearTimeout(saving);
    // A link to the current view renders nothing, and makes an entry that does not know yet how far the view is scrolled.
    if (window.location.hash === hash) return save();
    hash = window.location.hash;
    target = savedScroll();
  });
  // Before a link or a button leads to another entry.
  window.addEventListener("click", save, { capture: true });
  window.addEventListener("pagehide", save);
}

/** Scrolls to where the current entry of the history was, or to the top; as soon as the view is long enough. */
export function restoreScroll(): void {
  stopRestoring();
  clearTimeout(saving);
  const scrollY = target ?? savedScroll();
  target = undefined;
  window.scrollTo(0, scrollY);
  if (scrollY === 0) return;
  const ended = new AbortController();
  const attempt = () => {
    window.scrollTo(0, scrollY);
    if (Math.abs(window.scrollY - scrollY) < 1) stopRestoring();
  };
  const observer = new ResizeObserver(attempt);
  const timer = setTimeout(() => stopRestoring(), RESTORE_MS);
  stopRestoring = () => {
    observer.disconnect();
    clearTimeout(timer);
    ended.abort();
  };
  // Whoever scrolls meanwhile wants to be elsewhere.
  for (const input of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    window.addEventListener(input, () => stopRestoring(), { passive: true, signal: ended.signal });
  }
  observer.observe(document.body);
}

/** The current entry of the history shows the same view as the one before. */
export function keepScroll(): void {
  target = undefined;
}

function savedScroll(): number {
  const state: unknown = window.history.state;
  return isRecord(state) && typeof state.scrollY === "number" ? state.scrollY : 0;
}
