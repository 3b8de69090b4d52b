import {
  type Claim,
  claimOf,
  instanceIn,
  type Logs,
  ownerAfter,
  ownerTopic,
  recordsFrom,
} from "@distributed-messaging/messaging";

/** The name of the instance of a service that runs once, or the first of several. */
export const UNNAMED = "–";

/**
 * The owner of each instance that there was of a service, by its name. The topic is read to its end, a part at a time: what the
 * owners repeat stays in it until the broker compacts it.
 */
export async function ownersOf(logs: Logs, service: string): Promise<Map<string, Claim>> {
  const owners = new Map<string, Claim>();
  const { name } = ownerTopic(service);
  for (const bounds of await logs.partitions(name)) {
    for await (const record of recordsFrom(logs, name, bounds, bounds.earliest)) {
      const claim = claimOf(record);
      if (claim?.kind !== "claim") continue;
      const instance = instanceIn(record) ?? UNNAMED;
      owners.set(instance, ownerAfter(owners.get(instance), claim));
    }
  }
  return owners;
}
