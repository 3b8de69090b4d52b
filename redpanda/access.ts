import { type Logger, silentLogger } from "@distributed-messaging/messaging";
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  KafkaClient,
  type KafkaSettings,
  ResourcePatternTypes,
} from "@distributed-messaging/messaging/kafka";

/** A right of a principal on one topic or consumer group, from any host. */
export interface Grant {
  /** `User:order`. */
  readonly principal: string;
  readonly operation: "READ" | "WRITE";
  readonly resource: "topic" | "group";
  readonly name: string;
}

interface Granted {
  readonly created: readonly Grant[];
  /** One line for each right or denial that the principals have beside the grants. It is left as it is. */
  readonly excess: readonly string[];
}

/**
 * Creates the ACLs that are missing, as the user of the settings, who needs ALTER and DESCRIBE on the cluster. Removes
 * none. Idempotent.
 *
 * @throws when no broker answers, the cluster has no authorizer, or the user may not
 */
export async function grantAccess(
  settings: KafkaSettings,
  grants: readonly Grant[],
  log: Logger = silentLogger,
): Promise<Granted> {
  const client = new KafkaClient(settings, log);
  const admin = client.kafka.admin();
  try {
    await admin.connect();
    const existing = await aclsOf(admin, new Set(grants.map(({ principal }) => principal)));
    const created = grants.filter((grant) => !existing.some((acl) => isSame(acl, aclOf(grant))));
    if (created.length > 0) await admin.createAcls({ acl: created.map(aclOf) });
    const excess = existing.filter((acl) => !grants.some((grant) => isSame(acl, aclOf(grant))));
    return { created, excess: excess.map(describeAcl) };
  } finally {
    await client.close(() => admin.disconnect());
  }
}

type Acl = Parameters<Admin["createAcls"]>[0]["acl"][number];

/** As the admin client takes it. */
export function aclOf({ principal, operation, resource, name }: Grant): Acl {
  return {
    principal,
    host: "*",
    permissionType: AclPermissionTypes.ALLOW,
    operation: AclOperationTypes[operation],
    resourceType: resource === "topic" ? AclResourceTypes.TOPIC : AclResourceTypes.GROUP,
    resourceName: name,
    resourcePatternType: ResourcePatternTypes.LITERAL,
  };
}

function isSame(one: Acl, other: Acl): boolean {
  return describeAcl(one) === describeAcl(other);
}

/** The ACLs of the principals, and those of everybody. */
async function aclsOf(admin: Admin, principals: ReadonlySet<string>): Promise<Acl[]> {
  const { resources } = await admin.describeAcls({
    resourceType: AclResourceTypes.ANY,
    resourcePatternType: ResourcePatternTypes.ANY,
    permissionType: AclPermissionTypes.ANY,
    operation: AclOperationTypes.ANY,
  });
  return resources.flatMap(({ acls, ...resource }) =>
    acls
      .filter(({ principal }) => principal === "User:*" || principals.has(principal))
      .map((acl) => ({ ...acl, ...resource })),
  );
}

/** `User:order: ALLOW READ on TOPIC order.commands`. */
function describeAcl(acl: Acl): string {
  const { principal, host, resourceName } = acl;
  const prefix = acl.resourcePatternType === ResourcePatternTypes.PREFIXED ? " (as a prefix)" : "";
  const from = host === "*" ? "" : `, from ${host}`;
  const what = `${nameIn(AclPermissionTypes, acl.permissionType)} ${nameIn(AclOperationTypes, acl.operation)}`;
  return `${principal}: ${what} on ${nameIn(AclResourceTypes, acl.resourceType)} ${resourceName}${prefix}${from}`;
}

/** The objects of kafkajs do not map values to names, as the enums of its types would. */
function nameIn(words: Readonly<Record<string, number | string>>, value: number): string {
  return Object.entries(words).find(([, one]) => one === value)?.[0] ?? `(${value})`;
}

/** One line for each right that was created, and for each that is in excess. */
export function describeGranted({ created, excess }: Granted): string[] {
  return [
    ...created.map((grant) => `created ${describeAcl(aclOf(grant))}`),
    ...excess.map((line) => `not removed: ${line}`),
  ];
}
