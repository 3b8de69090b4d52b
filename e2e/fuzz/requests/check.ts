import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Answer } from "../../support/answers.ts";
import type { Operation, Schema } from "./document.ts";
import type { GeneratedRequest } from "./requests.ts";
import { schemaIn } from "./values.ts";

/* What is wrong with an answer, by the document of its operation. */

const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
// A CommonJS module: its types name the function, the module has it as `default`.
addFormats.default(ajv);

const validators = new WeakMap<object, ValidateFunction>();

/** Checks a value. Objects are closed: a member that the document does not name is wrong. */
function faultIn(value: unknown, schema: Schema, schemas: Operation["schemas"]): string | undefined {
  let validate = validators.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(schemaIn(closed(resolved(schema, schemas))));
    validators.set(schema, validate);
  }
  return validate(value) ? undefined : ajv.errorsText(validate.errors, { dataVar: "body" });
}

function resolved(schema: Schema, schemas: Operation["schemas"]): Schema {
  const name = /^#\/components\/schemas\/(.*)$/.exec(String(schema.$ref))?.[1];
  return name === undefined ? schema : (schemas[name] ?? schema);
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const members = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  const isOpen = members.type === "object" && "properties" in members && !("additionalProperties" in members);
  return isOpen ? { ...members, additionalProperties: false } : members;
}

/** What is wrong with an answer; undefined if nothing is. */
export function faultOf(operation: Operation, request: GeneratedRequest, answer: Answer): string | undefined {
  const { status, headers, body } = answer;
  if (status >= 500 && status !== 503) return `the status ${status}`;
  const type = headers.get("content-type")?.split(";")[0];
  if (!operation.siblings.includes(request.method)) {
    if (status < 400) return `${status} to a method that the path does not have`;
    return type === "application/problem+json" ? undefined : `${status} is no problem, but ${type}`;
  }
  if (request.method !== operation.method) return undefined;
  const response = operation.responses[status];
  if (response === undefined) return `the status ${status}, which the document does not list`;
  if (status === 401 && !headers.has("www-authenticate")) return "a 401 without WWW-Authenticate";
  for (const [name, header] of Object.entries(response.headers ?? {})) {
    const value = headers.get(name);
    if (value === null) continue;
    const fault = faultIn(header.schema.type === "integer" ? Number(value) : value, header.schema, {});
    if (fault !== undefined) return `the header ${name}: ${fault}`;
  }
  if (response.content === undefined) return body === "" ? undefined : `a body, where ${status} has none`;
  const described = response.content[type ?? ""];
  if (described === undefined) return `the content type ${type} of ${status}`;
  const fault = faultIn(body, described.schema, operation.schemas);
  if (fault !== undefined) return `${status}: ${fault}`;
  if (type === "application/problem+json" && schemaIn(body).status !== status)
    return `another status in the problem of ${status}`;
  return acceptedFault(operation, request, status);
}

/** An accepted request whose body breaks its schema. */
function acceptedFault(
  { requestBody, schemas }: Operation,
  { json }: GeneratedRequest,
  status: number,
): string | undefined {
  const schema = requestBody?.content?.["application/json"]?.schema;
  if (json === undefined || schema === undefined || status >= 400) return undefined;
  const fault = faultIn(json, schema, schemas);
  return fault === undefined ? undefined : `${status} to an invalid body: ${fault}`;
}
