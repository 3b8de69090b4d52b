import { signal } from "@preact/signals";

/** The text of the page's live region, which screen readers read out. */
export const announcement = signal("");

/** Announces a text to screen readers. A later text replaces an earlier one. */
export function announce(text: string): void {
  announcement.value = text;
}
