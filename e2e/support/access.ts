import { readFileSync } from "node:fs";
import { join } from "node:path";
import { migrate, openDatabase, silentLogger } from "@distributed-messaging/messaging";
import { type AccessRight, accessOf } from "@distributed-messaging/service/composition";
import { loadConfig } from "@distributed-messaging/service/config";
import { type ServiceName, services } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** The rights that a service needs on the broker, derived from its composition. */
export async function rightsOf(name: ServiceName): Promise<AccessRight[]> {
  const { service } = await services[name].load();
  const database = openDatabase(":memory:");
  try {
    migrate(database, name, service.migrations);
    return accessOf(service, service.compose(database, loadConfig(service.config, {}, name), silentLogger));
  } finally {
    database.close();
  }
}

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
