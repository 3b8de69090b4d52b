import type { Prng } from "../../simulation/prng.ts";
import type { Operation, Schema } from "./document.ts";
import { broken, type KnownValues, STRANGE, valueFor } from "./values.ts";

export interface GeneratedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** The value of a body that is sent as the document says; it may break its schema. */
  readonly json?: unknown;
}

/** Values of `Authorization`. */
export interface Credentials {
  readonly admin: string;
  readonly customers: readonly string[];
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const MEDIA_TYPES = [
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
  ";;;",
  "application/xml",
];
/** In the place of a value in JSON. */
const STRANGE_JSON = [
  "1e400",
  "-1e400",
  "01",
  "NaN",
  '"\\ud800"',
  '"\u0000"',
  "[[[[",
  "{}{}",
  "\ufeff1",
  "tru",
  "1.0",
];
const STRANGE_HEADERS: readonly (readonly [string, string])[] = [
  ["host", "evil.example"],
  ["origin", "http://evil.example"],
  ["sec-fetch-site", "cross-site"],
  ["traceparent", "00-0-0-zz"],
  ["tracestate", "=".repeat(600)],
  ["content-encoding", "gzip"],
  ["upgrade", "websocket"],
  ["cookie", "__proto__=1; token=x"],
  ["accept", "application/xml"],
  ["x-http-method-override", "DELETE"],
  ["if-none-match", '"x"'],
];
const STRANGE_KEYS = ["", "a b", "x".repeat(256), "é", "__proto__", "!"];

/** A request for an operation: mostly as its document says, with one part or several that are not. */
export function requestFor(
  operation: Operation,
  prng: Prng,
  known: KnownValues,
  credentials: Credentials,
): GeneratedRequest {
  const headers: Record<string, string> = {};
  const authorization = prng.chance(0.9)
    ? credentialsFor(operation, prng, credentials)
    : prng.pick(["none", "", "Bearer", "Bearer a.b.c", "Basic eDp5", ...credentials.customers]);
  if (authorization !== "none") headers.authorization = authorization;
  const query = new URLSearchParams();
  let path = operation.path;
  for (const { name, in: place, required, schema } of operation.parameters ?? []) {
    if (!required && prng.chance(0.5)) continue;
    if (place === "header") {
      headers[name.toLowerCase()] = prng.chance(0.2)
        ? prng.pick(STRANGE_KEYS)
        : String(valueFor(schema, prng, known, name));
      continue;
    }
    const value = prng.chance(0.1) ? prng.pick(STRANGE) : parameterFor(operation, name, schema, prng, known);
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    if (place === "query") query.append(name, text);
    else path = path.replace(`{${name}}`, () => segment(text, prng));
  }
  if (prng.chance(0.03))
    query.append(prng.pick(["x", "limit", "after", "__proto__"]), prng.pick(["", "1", "%"]));
  if (prng.chance(0.05)) {
    const [name, value] = prng.pick(STRANGE_HEADERS);
    headers[name] = value;
  }
  const search = query.size === 0 ? "" : `?${query}`;
  const method = prng.chance(0.03) ? prng.pick(METHODS) : operation.method;
  return { method, path: `${path}${search}`, headers, ...bodyFor(operation, method, headers, prng, known) };
}

function credentialsFor({ security }: Operation, prng: Prng, { admin, customers }: Credentials) {
  if (security.length === 0) return "none";
  const isForAdmins = security.some(({ bearer }) => bearer?.includes("admin"));
  return isForAdmins === prng.chance(0.9) ? admin : prng.pick(customers);
}

/** A value that an answer to the same family of paths had under the parameter's name, or one for its schema. */
function parameterFor(
  { path }: Operation,
  name: string,
  schema: Schema,
  prng: Prng,
  known: KnownValues,
): unknown {
  const seen = prng.chance(0.6) ? known.pick(`${familyOf(path)} ${name}`, prng) : undefined;
  return seen ?? valueFor(schema, prng, known, name);
}

/** The first segment of a path: ids of dead letters are none of effects. */
export function familyOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** A path segment; an empty one would be another path. */
function segment(text: string, prng: Prng): string {
  const wellFormed = text.toWellFormed();
  if (prng.chance(0.03)) return prng.pick(["%00", "%zz", "..%2f..", "%ff", "%f0%9f"]);
  return encodeURIComponent(wellFormed === "" || /^\.+$/.test(wellFormed) ? `x${wellFormed}` : wellFormed);
}

/** Sets the media type in the headers. */
function bodyFor(
  { requestBody }: Operation,
  method: string,
  headers: Record<string, string>,
  prng: Prng,
  known: KnownValues,
): Pick<GeneratedRequest, "body" | "json"> {
  const schema = requestBody?.content?.["application/json"]?.schema;
  if (method === "GET") return {};
  if (schema === undefined || prng.chance(requestBody?.required ? 0.02 : 0.4)) {
    return prng.chance(0.1) ? { body: "x" } : {};
  }
  headers["content-type"] = prng.chance(0.03) ? prng.pick(MEDIA_TYPES) : "application/json";
  const valid = valueFor(schema, prng, known);
  if (prng.chance(0.01)) return { body: `{"x":"${"x".repeat(70_000)}"}` };
  if (prng.chance(0.02))
    return { body: new Uint8Array(Array.from({ length: 40 }, () => prng.between(0, 255))) };
  const json = prng.chance(0.3) ? broken(valid, prng) : valid;
  const text = JSON.stringify(json);
  if (prng.chance(0.05)) return { body: text.replace(/\d+|"[^"]*"(?!:)/, () => prng.pick(STRANGE_JSON)) };
  return { body: text, ...(headers["content-type"] === "application/json" ? { json } : {}) };
}
