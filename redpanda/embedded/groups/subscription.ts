/**
 * What the members of a group subscribe to. The broker does not need it to coordinate them, only to know which offsets
 * are in use. Source: Apache Kafka, ConsumerProtocolSubscription.json, whose version 0 is the beginning of the others.
 */
import { Reader } from "../wire/reader.ts";
import type { Rebalance } from "./rebalance.ts";

/** The protocol type of consumers. Those of others, such as Kafka Connect's, have other metadata. */
export const CONSUMER = "consumer";

/** Whether a member subscribes to the topic; true also when it is not known. */
export function isSubscribed({ protocol, members }: Rebalance, topic: string): boolean {
  return [...members.values()].some(
    (member) => topicsIn(member.metadataFor(protocol))?.includes(topic) ?? true,
  );
}

/** Undefined for what is no subscription of a consumer, or before a protocol is elected. */
function topicsIn(metadata: Buffer): string[] | undefined {
  try {
    const reader = new Reader(metadata);
    reader.int16(); // the version
    return reader.array(() => reader.string());
  } catch {
    return undefined;
  }
}
