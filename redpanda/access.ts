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
  readonly operation: "READ" | "WRITE" | "DELETE";
  readonly resource: "topic" | "group";
  readonly name: string;
}

interface Granted {
  readonly created: readonly Grant[];
  /** One line for each right or denial that the principals have beside the grants. It is left as it is. */
  readonly excess: readonly string[];
}

/** The rights of the principals at the brokers, compared with the grants. */
interface AccessDifference {
  readonly missing: readonly Grant[];
  /** As in `Granted`. */
  readonly excess: readonly string[];
}

/**
 * Creates the ACLs that are missing, as the user of the settings, who needs ALTER and DESCRIBE on the cluster. Removes
 * none. Idempotent.
 *
 * @throws when no broker answers, the cluster has no authorizer, or the user may not
 */
export function grantAccess(
  settings: KafkaSettings,
  grants: readonly Grant[],
  log: Logger = silentLogger,
): Promise<Granted> {
  return asAdmin(settings, log, async (admin) => {
    const { missing, excess } = await differenceOf(admin, grants);
    if (missing.length > 0) await admin.createAcls({ acl: missing.map(aclOf) });
    return { created: missing, excess };
  });
}

/** Changes nothing. The user of the settings needs DESCRIBE on the cluster. @throws as `grantAccess` */
export function compareAccess(
  settings: KafkaSettings,
  grants: readonly Grant[],
  log: Logger = silentLogger,
): Promise<AccessDifference> {
  return asAdmin(settings, log, (admin) => differenceOf(admin, grants));
}

async function differenceOf(admin: Admin, grants: readonly Grant[]): Promise<AccessDifference> {
  const existing = await aclsOf(admin, new Set(grants.map(({ principal }) => principal)));
  return {
    missing: grants.filter((grant) => !existing.some((acl) => isSame(acl, aclOf(grant)))),
    excess: existing.filter((acl) => !grants.some((grant) => isSame(acl, aclOf(grant)))).map(describeAcl),
  };
}

async function asAdmin<T>(
  settings: KafkaSettings,
  log: Logger,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const client = new KafkaClient(settings, log);
  const admin = client.kafka.admin();
  try {
    await admin.connect();
    return await work(admin);
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

/** `User:order: ALLOW READ on TOPIC order.commands`. */
export function describeGrant(grant: Grant): string {
  return describeAcl(aclOf(grant));
}

/** One line for each right that was created, and for each that is in excess. */
export function describeGranted({ created, excess }: Granted): string[] {
  return [
    ...created.map((grant) => `created ${describeGrant(grant)}`),
    ...excess.map((line) => `not removed: ${line}`),
  ];
}
