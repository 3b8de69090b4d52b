import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** The version of Bun that the project is tested with: the one that bootstrap.sh runs. */
export function pinnedBun(): string {
  const text = readFileSync(join(ROOT, "scripts/bootstrap.sh"), "utf8");
  const version = /^BUN_VERSION=(\S+)$/m.exec(text)?.[1];
  if (version === undefined) throw new Error("scripts/bootstrap.sh names no version of Bun");
  return version;
}
