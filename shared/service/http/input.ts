import { FormatRegistry, Type } from "@sinclair/typebox";
import { durationToMs } from "../config.ts";
import { ServiceError } from "../errors.ts";

/** The longest body that a service reads. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_DEPTH = 64;

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?;?\s*$/i;
/** A text without a match has no member `toString`, whose letters could be written as escapes: few have one. */
const MAY_NAME_TO_STRING = /toString|\\u/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a request's body as a JSON object; undefined when there is no body. Never keeps more than MAX_BODY_BYTES
 * and one chunk in memory, whatever the headers declare.
 *
 * @throws ServiceError too-large | unsupported (not declared as JSON) | malformed (empty, not UTF-8, not JSON,
 * nested too deeply) | invalid (not an object, or with a member `toString`)
 */
export async function readJson(request: Request): Promise<object | undefined> {
  refuseDeclaredLength(request);
  if (request.body === null) return undefined;
  refuseOtherTypes(request);
  const bytes = await readBounded(request);
  if (bytes.byteLength === 0) throw malformed("The body is empty. Send JSON.");
  refuseDeepNesting(bytes);
  const { text, value } = parse(bytes);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    if (MAY_NAME_TO_STRING.test(text)) refuseUnprintable(value, "");
    return value;
  }
  // Elysia does not validate null, numbers and the like against the schema of an optional body.
  const errors = [{ path: "", message: "expected object" }];
  throw new ServiceError("invalid", "invalid-input", "The body is invalid: expected object.", { errors });
}

function parse(bytes: Uint8Array): { readonly text: string; readonly value: unknown } {
  try {
    const text = utf8.decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch {
    // The engine's message would quote the input.
    throw malformed("The body is not JSON in UTF-8.");
  }
}

/** JSON.parse accepts any depth; recursive code such as Elysia's validation or JSON.stringify overflows the stack. */
function refuseDeepNesting(bytes: Uint8Array): void {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (inString) {
      if (byte === BACKSLASH) index++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
    if (depth > MAX_DEPTH) {
      throw new ServiceError(
        "malformed",
        "malformed-body",
        `The body is nested deeper than ${MAX_DEPTH} levels.`,
      );
    }
  }
}

/**
 * Elysia converts an invalid value to a string for its validation error. A member `toString` makes that throw a
 * different error.
 */
function refuseUnprintable(value: object, path: string): void {
  for (const [name, member] of Object.entries(value)) {
    const pointer = `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (name === "toString") {
      const errors = [{ path: pointer, message: "is not a known field" }];
      throw new ServiceError("invalid", "invalid-input", `The body is invalid: ${pointer}.`, { errors });
    }
    if (typeof member === "object" && member !== null) refuseUnprintable(member, pointer);
  }
}

/** @throws ServiceError too-large when Content-Length declares too much */
export function refuseDeclaredLength(request: Request): void {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > MAX_BODY_BYTES) throw tooLarge();
}

function refuseOtherTypes(request: Request): void {
  const type = request.headers.get("content-type");
  const encoding = request.headers.get("content-encoding");
  if (type === null || !JSON_TYPE.test(type)) {
    throw new ServiceError(
      "unsupported",
      "unsupported-media-type",
      "Send the body as application/json in UTF-8.",
    );
  }
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    throw new ServiceError(
      "unsupported",
      "unsupported-media-type",
      "Send the body without a content encoding.",
    );
  }
}

/** A body as it is. @throws ServiceError too-large */
export async function readBounded(request: Request): Promise<Uint8Array> {
  // The declared length was checked, and the body ends there (RFC 9112 §6.3).
  if (request.headers.has("content-length")) return request.bytes();
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.byteLength;
    if (length > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function malformed(detail: string): ServiceError {
  return new ServiceError("malformed", "malformed-body", detail);
}

function tooLarge(): ServiceError {
  return new ServiceError("too-large", "body-too-large", `The body is longer than ${MAX_BODY_BYTES} bytes.`);
}

/** In a parameter's schema: the schema that the OpenAPI document shows in its place. */
export const DESCRIBED_AS = "x-described-as";

/** A number represents 15 digits exactly. */
const DIGITS = /^\d{1,15}$/;

/**
 * An integer in a path or a query, where every value is text: `?limit=20` → 20. In Elysia, `Type.Integer` does not
 * convert there, and `Type.Number` accepts `1e1` and reports a value out of range without the parameter's name.
 */
export function IntegerParam(range: { minimum: number; maximum: number }) {
  const { minimum, maximum } = range;
  const format = `an integer from ${minimum} to ${maximum}`;
  FormatRegistry.Set(
    format,
    (text) => DIGITS.test(text) && Number(text) >= minimum && Number(text) <= maximum,
  );
  return Type.Transform(Type.String({ format, [DESCRIBED_AS]: { type: "integer", minimum, maximum } }))
    .Decode((text) => Number(text))
    .Encode((value) => String(value));
}

const DURATION = "a duration such as 30s, 15m, 1h or 7d";
FormatRegistry.Set(DURATION, (text) => durationToMs(text) !== undefined);

/** A duration in a query or a body. `durationToMs` converts it. */
export const DurationText = Type.String({
  format: DURATION,
  [DESCRIBED_AS]: { type: "string", pattern: "^\\d{1,12}(\\.\\d{1,6})?(ms|s|m|h|d)$", description: DURATION },
});
