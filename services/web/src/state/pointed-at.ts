import { signal } from "@preact/signals";

/** The names of the parts of the map that the tour asks its visitor to look at. */
export const pointedAt = signal<readonly string[]>([]);
