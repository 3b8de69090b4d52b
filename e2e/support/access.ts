import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AccessRight } from "@distributed-messaging/service/composition";
import { ROOT } from "@distributed-messaging/supervisor/store";

export interface ListedRight extends AccessRight {
  readonly service: string;
}

/** The rights that docs/operations.md lists. */
export function listedRights(): ListedRight[] {
  const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
  const rows = page.matchAll(/^\| `([\w-]+)` +\| (READ|WRITE) +\| (topic|group) +\| `([\w.-]+)` +\|$/gm);
  return [...rows].map(([, service = "", operation, resource, name = ""]) => ({
    service,
    operation: operation === "READ" ? "READ" : "WRITE",
    resource: resource === "topic" ? "topic" : "group",
    name,
  }));
}
