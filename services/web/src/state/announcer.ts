import { signal } from "@preact/signals";

/** A screen reader that is still reading one text has the next ones to come. */
const KEPT = 4;

/** The last texts of the page's live region, which screen readers read out. */
export const announcements = signal<readonly { readonly number: number; readonly text: string }[]>([]);

/** Announces a text to screen readers, also one that was announced before. */
export function announce(text: string): void {
  const before = announcements.peek();
  const number = (before.at(-1)?.number ?? 0) + 1;
  announcements.value = [...before, { number, text }].slice(-KEPT);
}
