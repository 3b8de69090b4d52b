import { migrate, openDatabase, silentLogger } from "@distributed-messaging/messaging";
import { type AccessRight, accessOf } from "@distributed-messaging/service/composition";
import { loadConfig } from "@distributed-messaging/service/config";
import { type ServiceName, services } from "./registry.ts";

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
