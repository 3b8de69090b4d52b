import type { IncomingRecord, ServiceDatabase } from "@distributed-messaging/messaging";
import { decidedBy, discardedBy, handledBy } from "./ledger.ts";
import { POISON_HEADER } from "./poison.ts";
import type { SimulatedService } from "./simulated-service.ts";

/** Who decides in the simulation. */
export const OPERATOR = "operator";

export interface Lost {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
}

/**
 * The genuine messages that a service need not have handled: an operator discarded them, or they were removed before
 * they were read and an operator acknowledged the gap. Nothing else may be missing.
 *
 * @param removed every record that retention has removed
 */
export function lostBy({ disk }: SimulatedService<unknown>, removed: readonly IncomingRecord[]): Lost[] {
  const isLeftOut = leftOutBy(disk.database);
  return [
    ...discardedBy(disk.database).filter(({ wasHandled }) => !wasHandled),
    ...removed.filter(isLeftOut).flatMap((record) => {
      const id = genuineIdOf(record);
      return id === undefined ? [] : [{ ...record, id }];
    }),
  ];
}

/** The ids of the lost messages of which no copy was handled. */
export function missingAt(
  process: SimulatedService<unknown>,
  removed: readonly IncomingRecord[],
): Set<string> {
  const handled = new Set(handledBy(process.disk.database).map(({ messageId }) => messageId));
  return new Set(lostBy(process, removed).map(({ id }) => id)).difference(handled);
}

/** Whether an operator has acknowledged that retention removed a record before it was read. */
export function leftOutBy(database: ServiceDatabase): (record: IncomingRecord) => boolean {
  const gaps = decidedBy(database).filter(
    ({ reason, action, actor }) => reason === "gap" && action === "skip" && actor === OPERATOR,
  );
  return ({ topic, partition, offset }) =>
    gaps.some(
      (gap) =>
        gap.topic === topic && gap.partition === partition && gap.offset <= offset && offset < gap.nextOffset,
    );
}

/** The id of a message that a service has emitted; undefined for poison. */
export function genuineIdOf({
  headers,
  value,
}: Pick<IncomingRecord, "headers" | "value">): string | undefined {
  if (POISON_HEADER in headers) return undefined;
  return (JSON.parse(Buffer.from(value ?? []).toString()) as { id: string }).id;
}
