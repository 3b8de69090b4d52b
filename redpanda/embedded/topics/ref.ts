/** How requests name a topic: by name, or by id from some version of an API on (KIP-516). */
import type { Reader, Writer } from "../wire.ts";

/** One of the two is set, the other null. */
export interface TopicRef {
  readonly name: string | null;
  readonly id: string | null;
}

export const NO_TOPIC_ID = "0".repeat(32);

export function readTopic(reader: Reader, byId: boolean): TopicRef {
  return byId ? { name: null, id: reader.uuid() } : { name: reader.string(), id: null };
}

/** Writes the reference back in the form in which it came. */
export function writeTopic(writer: Writer, { name, id }: TopicRef, byId: boolean): void {
  if (byId) writer.uuid(id ?? NO_TOPIC_ID);
  else writer.string(name ?? "");
}
