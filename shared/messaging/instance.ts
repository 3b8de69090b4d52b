import { UsageError } from "./errors.ts";

/*
 * A service whose state follows from the topics may run as several instances that all work: each has a name, a database and
 * a consumer group of its own, so each of them reads every message.
 */

/** What an instance may be called. `rebuild` is taken: it would read in the group of another one's rebuilds. */
export const INSTANCE_PATTERN = "^(?!rebuild$)[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$";

/** The consumer group of an instance; without a name, that of the service. */
export function groupOf(service: string, instance: string | undefined): string {
  return instance === undefined ? service : `${service}.${instance}`;
}

/** The `source` of its messages. Readers accept it where they accept that of the service. */
export function sourceOf(service: string, instance: string | undefined): string {
  return instance === undefined ? service : `${service}/${instance}`;
}

/** @throws UsageError when an instance may not be called so */
export function checkInstance(instance: string | undefined): void {
  if (instance !== undefined && !new RegExp(INSTANCE_PATTERN).test(instance))
    throw new UsageError(`an instance cannot be called '${instance}': expected ${INSTANCE_PATTERN}`);
}
