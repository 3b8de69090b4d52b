import { errorText } from "../errors.ts";
import { type ReadRecord, readCloudEvent } from "./cloud-event.ts";
import { faultsOf, type MessageDefinition } from "./define.ts";
import type { Message } from "./envelope.ts";

/** The result of decoding a record. `detail` is for operators. */
export type Decoded =
  | { readonly status: "decoded"; readonly message: Message; readonly definition: MessageDefinition }
  | { readonly status: "rejected"; readonly reason: RejectionReason; readonly detail: string };

/**
 * - `undecodable`: no CloudEvent in JSON, or too long
 * - `unknown-type`: no definition has its type
 * - `newer-version`: neither, but a newer version of this service handles it
 * - `wrong-topic`, `wrong-source`, `wrong-key`: not on the topic of its definition; not from its source; not with its
 *   subject as the key of the record
 * - `schema`: the data breaks its schema, or cannot be lifted to the current version
 */
export type RejectionReason =
  | "undecodable"
  | "unknown-type"
  | "newer-version"
  | "wrong-topic"
  | "wrong-source"
  | "wrong-key"
  | "schema";

/**
 * Decodes a record. Never throws. A message of an older version is lifted to the current one: it has the type and the data
 * of the definition.
 *
 * A message is accepted only on the topic of its definition, from the source that it names (`order`, or an instance of it,
 * `order/2`), and under its own key. Whoever may write to one topic could otherwise send any message of the system, and a
 * key in another partition has no order with itself.
 *
 * @param known the definitions by type, as `byType` returns them
 */
export function decode(known: ReadonlyMap<string, MessageDefinition>, record: ReadRecord): Decoded {
  const event = readCloudEvent(record);
  if (typeof event === "string") return rejected("undecodable", event);
  const definition = known.get(event.type);
  if (definition === undefined) {
    return rejected("unknown-type", `the type ${event.type} is not defined here`);
  }
  const { type, source, subject } = event;
  if (record.topic !== definition.topic.name) {
    return rejected("wrong-topic", `${type} is accepted on ${definition.topic.name} only`);
  }
  if (source !== definition.source && !source.startsWith(`${definition.source}/`)) {
    return rejected("wrong-source", `${type} is accepted from ${definition.source} only, not from ${source}`);
  }
  if (record.key !== subject) {
    return rejected("wrong-key", `the subject ${subject} is not the key of the record, ${record.key}`);
  }
  const current = lift(definition, type, event.data);
  if ("fault" in current) return rejected("schema", current.fault);
  const key = definition.keyOf(current.data);
  if (subject !== key) {
    return rejected("schema", `subject ${subject} is not the key ${key} of the data`);
  }
  const isCurrent = type === definition.type;
  const message = isCurrent ? event : { ...event, type: definition.type, data: current.data };
  return { status: "decoded", message, definition };
}

/** Lifts data through every version between its own and the current one. Each version checks the data first. */
function lift(
  definition: MessageDefinition,
  type: string,
  original: unknown,
): { readonly data: unknown } | { readonly fault: string } {
  const first = definition.upcasts.findIndex((upcast) => upcast.type === type);
  const upcasts = first === -1 ? [] : definition.upcasts.slice(first);
  let data = original;
  for (const upcast of upcasts) {
    if (!upcast.check.Check(data)) return { fault: faultIn(upcast, data, type) };
    try {
      data = upcast.lift(data);
    } catch (error) {
      return { fault: `${upcast.type} could not be lifted to the next version: ${errorText(error)}` };
    }
  }
  return definition.check.Check(data) ? { data } : { fault: faultIn(definition, data, type) };
}

/** @param type the type of the message: a fault in any other version comes from lifting */
function faultIn(version: Pick<MessageDefinition, "type" | "check">, data: unknown, type: string): string {
  const faults = faultsOf(version.check, data);
  return version.type === type ? faults : `lifted from ${type} to ${version.type}: ${faults}`;
}

function rejected(reason: RejectionReason, detail: string): Decoded {
  return { status: "rejected", reason, detail };
}
