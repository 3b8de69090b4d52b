import { errorText } from "../errors.ts";
import { faultsOf, type MessageDefinition } from "./define.ts";
import { envelopeCheck, MAX_MESSAGE_BYTES, type Message } from "./envelope.ts";

/** The result of decoding a record. `detail` is for operators. */
export type Decoded =
  | { readonly status: "decoded"; readonly message: Message; readonly definition: MessageDefinition }
  | { readonly status: "rejected"; readonly reason: RejectionReason; readonly detail: string };

export type RejectionReason = "undecodable" | "unknown-type" | "schema";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Decodes a record's value. Never throws. A message of an older version is lifted to the current one: it has the type
 * and the data of the definition.
 *
 * @param known the definitions by type, as `byType` returns them
 */
export function decode(known: ReadonlyMap<string, MessageDefinition>, value: Uint8Array | null): Decoded {
  if (value === null) return rejected("undecodable", "the record has no value");
  if (value.byteLength > MAX_MESSAGE_BYTES) {
    return rejected("undecodable", `longer than ${MAX_MESSAGE_BYTES} bytes`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(value));
  } catch (error) {
    return rejected("undecodable", `not JSON: ${errorText(error)}`);
  }
  if (!envelopeCheck.Check(parsed)) {
    return rejected("undecodable", `not a CloudEvent: ${faultsOf(envelopeCheck, parsed)}`);
  }
  const definition = known.get(parsed.type);
  if (definition === undefined) {
    return rejected("unknown-type", `the type ${parsed.type} is not defined here`);
  }
  const current = lift(definition, parsed.type, parsed.data);
  if ("fault" in current) return rejected("schema", current.fault);
  const key = definition.keyOf(current.data);
  if (parsed.subject !== key) {
    return rejected("schema", `subject ${parsed.subject} is not the key ${key} of the data`);
  }
  const isCurrent = parsed.type === definition.type;
  const message = isCurrent ? parsed : { ...parsed, type: definition.type, data: current.data };
  // Sound: the envelope passed its check, and the data that of the definition with its type.
  return { status: "decoded", message: message as Message, definition };
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
