import { readFileSync } from "node:fs";

/** What the process needs beside connections and the files of its logs: standard streams, the runtime, new segments. */
const RESERVED = 64;

/** How many files this process may have open; Infinity where the system does not tell, which Linux does. */
function limit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return found ? Number(found[1]) : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * How many connections may be open beside so many files. At the limit of the process no connection can be accepted to be
 * refused, and the event loop would not rest.
 */
export function connectionsBeside(): (openFiles: number) => number {
  const most = limit();
  return (openFiles) => most - openFiles - RESERVED;
}
