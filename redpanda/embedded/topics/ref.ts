/** A topic reference in a request: a name or, in later versions of an API, an id (KIP-516). */
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";

/** One field is set, the other is null. */
export interface TopicRef {
  readonly name: string | null;
  readonly id: string | null;
}

export const NO_TOPIC_ID = "0".repeat(32);

export function readTopic(reader: Reader, byId: boolean): TopicRef {
  return byId ? { name: null, id: reader.uuid() } : { name: reader.string(), id: null };
}

/** The counterpart of `readTopic`. */
export function writeTopic(writer: Writer, { name, id }: TopicRef, byId: boolean): void {
  if (byId) writer.uuid(id ?? NO_TOPIC_ID);
  else writer.string(name ?? "");
}
