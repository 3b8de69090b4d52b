import { signal } from "@preact/signals";

/** What a screen reader is to say next. The region that it stands in is in the page from the start. */
export const announcement = signal("");

/** Says something aloud to those who do not see the page. The latest wins: a queue of news nobody can listen to. */
export function announce(text: string): void {
  announcement.value = text;
}
