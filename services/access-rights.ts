import { migrate, openDatabase, silentLogger } from "@distributed-messaging/messaging";
import { type AccessRight, accessOf } from "@distributed-messaging/service/composition";
import { type Environment, loadConfig } from "@distributed-messaging/service/config";
import { type ServiceName, services } from "./registry.ts";

/**
 * The rights that a service needs on the broker, derived from its composition.
 *
 * @param env of which REPLICATION and INSTANCE count
 * @throws ConfigError when one of them is invalid
 */
export async function rightsOf(
  name: ServiceName,
  { REPLICATION, INSTANCE }: Environment = {},
): Promise<AccessRight[]> {
  const { service } = await services[name].load();
  const database = openDatabase(":memory:");
  try {
    migrate(database, name, service.migrations);
    const config = loadConfig(service.config, { REPLICATION, INSTANCE }, name);
    return accessOf(service, service.compose(database, config, silentLogger), config);
  } finally {
    database.close();
  }
}
