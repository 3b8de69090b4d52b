import { signal } from "@preact/signals";
import { customerId } from "./session.ts";

/** A screen reader that is still reading one text has the next ones to come. */
const KEPT = 4;

/** The last texts of the page's live region, which screen readers read out. */
export const announcements = signal<readonly { readonly number: number; readonly text: string }[]>([]);

let announced = 0;

/** Announces a text to screen readers, also one that was announced before. */
export function announce(text: string): void {
  announced += 1;
  announcements.value = [...announcements.peek(), { number: announced, text }].slice(-KEPT);
}

/** At each sign-in and sign-out, takes away the texts about the customer before. */
export function resetAnnouncements(): void {
  customerId.subscribe(() => {
    announcements.value = [];
  });
}
