import { INSTANCE_PATTERN } from "@distributed-messaging/messaging";
import type { Grant } from "@distributed-messaging/redpanda/access";
import type { Environment } from "@distributed-messaging/service/config";
import { rightsOf } from "@distributed-messaging/services/access-rights";
import { forEachService, type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { UsageError } from "../command/command.ts";

const DEFAULT = "User:{service}";
const PLACEHOLDER = "{service}";

/**
 * The principal of each service.
 *
 * @param options each `<service>=<principal>`, or a principal in which `{service}` stands for the service's name
 * @throws UsageError when one cannot be used, or two services have the same principal
 */
export function principalsOf(options: readonly string[]): Readonly<Record<ServiceName, string>> {
  const principals = forEachService((name) => DEFAULT.replaceAll(PLACEHOLDER, name));
  const isOne = (option: string) => serviceNames.find((name) => option.startsWith(`${name}=`));
  for (const option of options.filter((one) => isOne(one) === undefined)) {
    if (!option.includes(PLACEHOLDER)) {
      throw new UsageError(
        `${option}: expected '<service>=<principal>', or a principal with '${PLACEHOLDER}'`,
      );
    }
    for (const name of serviceNames) principals[name] = option.replaceAll(PLACEHOLDER, name);
  }
  for (const option of options) {
    const name = isOne(option);
    if (name !== undefined) principals[name] = option.slice(name.length + 1);
  }
  for (const principal of Object.values(principals)) {
    if (!/^[A-Za-z]+:[^\p{Cc}]+$/u.test(principal)) {
      throw new UsageError(`${principal}: expected a principal with its type, such as User:order`);
    }
  }
  for (const [principal, sharing] of Map.groupBy(serviceNames, (name) => principals[name])) {
    if (sharing.length > 1) throw new UsageError(`${principal} is the principal of ${sharing.join(" and ")}`);
  }
  return principals;
}

/**
 * The names of instances in the option `--instances`.
 *
 * @throws UsageError when one cannot be a name
 */
export function instancesIn(option: string | undefined): readonly string[] {
  const names = option?.split(",") ?? [];
  const wrong = names.find((name) => !new RegExp(INSTANCE_PATTERN).test(name));
  if (wrong === undefined) return names;
  throw new UsageError(
    `--instances: expected names of lower-case letters, digits and hyphens, separated by commas, got '${wrong}'`,
  );
}

/**
 * What each service may do on the broker, and no more.
 *
 * @param env of which REPLICATION and INSTANCE count
 * @param instances of a store in which each service that may have several has these: in place of the settings
 */
export async function storeGrants(
  principals: Readonly<Record<ServiceName, string>>,
  env: Environment = {},
  instances: readonly string[] = [],
): Promise<Grant[]> {
  const each = instances.map((INSTANCE) => ({ INSTANCE, REPLICATION: "on" }));
  const grants = await Promise.all(
    serviceNames.map(async (service) => {
      const rights = await Promise.all(
        (each.length === 0 ? [env] : each).map((one) => rightsOf(service, one)),
      );
      const distinct = new Map(rights.flat().map((right) => [JSON.stringify(right), right]));
      return [...distinct.values()].map((right) => ({ principal: principals[service], ...right }));
    }),
  );
  return grants.flat();
}

export type Tool = "kafka-acls" | "rpk";

/** The commands of a shell that create the ACLs: one for each principal, operation and kind of resource. */
export function commandsOf(grants: readonly Grant[], tool: Tool, brokers: readonly string[]): string[] {
  const groups = Map.groupBy(grants, (grant) =>
    [grant.principal, grant.operation, grant.resource].join("\n"),
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const principal = quoted(first.principal);
    const names = group.map(({ name }) => `--${first.resource} ${quoted(name)}`).join(" ");
    return tool === "rpk"
      ? `rpk security acl create --allow-principal ${principal} --operation ${first.operation.toLowerCase()} ${names}`
      : `kafka-acls.sh --bootstrap-server ${brokers.join()} --command-config admin.properties ` +
          `--add --allow-principal ${principal} --operation ${first.operation} ${names}`;
  });
}

/** A word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w:./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
