import fc from "fast-check";
import type { Prng } from "../../simulation/prng.ts";
import type { Schema } from "./document.ts";

/* JSON values for a schema, and values that break it. */

/** Values by the name of the field that had them in an answer: ids of orders, products, dead letters. */
export class KnownValues {
  readonly #values = new Map<string, unknown[]>();

  /** Remembers the texts and numbers in an answer, also as those of a family; the newest hundred of each name. */
  learn(answer: unknown, family: string): void {
    if (typeof answer !== "object" || answer === null) return;
    for (const [name, value] of Object.entries(answer)) {
      if (typeof value === "string" || typeof value === "number") {
        this.add(name, value);
        this.add(`${family} ${name}`, value);
      } else this.learn(value, family);
    }
  }

  add(name: string, value: string | number): void {
    const values = this.#values.get(name) ?? [];
    if (values.includes(value)) return;
    if (values.push(value) > 100) values.shift();
    this.#values.set(name, values);
  }

  pick(name: string, prng: Prng): unknown {
    const values = this.#values.get(name) ?? [];
    return values.length === 0 ? undefined : prng.pick(values);
  }
}

const MAX_DEPTH = 5;

/**
 * A value that matches a schema.
 *
 * @param name of the field: values that answers had under this name are preferred
 */
export function valueFor(schema: Schema, prng: Prng, known: KnownValues, name = "", depth = 0): unknown {
  const { const: constant, enum: options, anyOf } = schema;
  if (constant !== undefined) return constant;
  if (Array.isArray(options)) return prng.pick(options);
  if (Array.isArray(anyOf)) return valueFor(schemaIn(prng.pick(anyOf)), prng, known, name, depth + 1);
  const seen = prng.chance(0.7) ? known.pick(name, prng) : undefined;
  switch (schema.type) {
    case "string":
      return typeof seen === "string" && matches(seen, schema) ? seen : text(schema, prng);
    case "integer":
    case "number":
      return typeof seen === "number" ? seen : number(schema, prng);
    case "boolean":
      return prng.chance(0.5);
    case "null":
      return null;
    case "array": {
      const least = numberIn(schema, "minItems") ?? 0;
      const count = prng.between(least, Math.min(numberIn(schema, "maxItems") ?? 4, least + 3));
      const items = schemaIn(schema.items);
      return Array.from({ length: count }, () => valueFor(items, prng, known, name, depth + 1));
    }
    case "object":
      return object(schema, prng, known, depth);
    default:
      return prng.pick(STRANGE);
  }
}

function object(schema: Schema, prng: Prng, known: KnownValues, depth: number): unknown {
  const required = Array.isArray(schema.required) ? schema.required : [];
  const members = Object.entries(schemaIn(schema.properties ?? {}))
    .filter(([name]) => required.includes(name) || (depth < MAX_DEPTH && prng.chance(0.4)))
    .map(([name, member]) => [name, valueFor(schemaIn(member), prng, known, name, depth + 1)]);
  if (schema.additionalProperties === true) members.push([prng.pick(NAMES), prng.pick(STRANGE)]);
  return Object.fromEntries(members);
}

function number(schema: Schema, prng: Prng): number {
  const least = numberIn(schema, "minimum") ?? -10;
  const most = numberIn(schema, "maximum") ?? least + 1_000_000;
  return prng.pick([least, most, least + 1, prng.between(least, Math.min(most, least + 20))]);
}

const SAMPLES = 200;
const samples = new Map<string, readonly string[]>();

function text(schema: Schema, prng: Prng): string {
  const { pattern, format } = schema;
  if (typeof pattern === "string") {
    let matching = samples.get(pattern);
    if (matching === undefined) {
      matching = fc.sample(fc.stringMatching(new RegExp(pattern), { size: "max" }), {
        numRuns: SAMPLES,
        seed: 1,
      });
      samples.set(pattern, matching);
    }
    return prng.pick(matching);
  }
  if (format === "date-time") return new Date(prng.between(0, 4e12)).toISOString();
  const least = numberIn(schema, "minLength") ?? 0;
  const most = numberIn(schema, "maxLength") ?? 40;
  const length = prng.pick([least, most, prng.between(least, Math.min(most, least + 20))]);
  const characters = prng.chance(0.5) ? "abcXYZ019_-" : "aé😀\u0000\"'\\/%&<>{}\n ";
  return Array.from({ length }, () => prng.pick([...characters]))
    .join("")
    .slice(0, most);
}

function matches(value: string, { pattern, maxLength }: Schema): boolean {
  if (typeof maxLength === "number" && value.length > maxLength) return false;
  return typeof pattern !== "string" || new RegExp(pattern).test(value);
}

function numberIn(schema: Schema, name: string): number | undefined {
  const value = schema[name];
  return typeof value === "number" ? value : undefined;
}

/** @throws TypeError when a part of the document is no schema */
export function schemaIn(value: unknown): Schema {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`no schema: ${Bun.inspect(value)}`);
  }
  return Object.fromEntries(Object.entries(value));
}

const NAMES = ["toString", "constructor", "__proto__", "a/b~c", "", "length", "é", "x".repeat(300)];

export const STRANGE: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, -0, {}, [], [[]], [null]],
  ...["", " ", "\u0000", "é😀", "\ud800", "__proto__", "' OR 1=1 --", "../../etc/passwd", "x".repeat(5_000)],
  ...[
    { a: { b: { c: {} } } },
    { constructor: { prototype: {} } },
    JSON.parse('{"__proto__":{"admin":true}}'),
  ],
];

/** The value with one part replaced, removed or added. It may match the schema still. */
export function broken(value: unknown, prng: Prng): unknown {
  if (typeof value !== "object" || value === null || prng.chance(0.2)) return prng.pick(STRANGE);
  if (Array.isArray(value)) {
    if (value.length === 0) return [prng.pick(STRANGE)];
    if (prng.chance(0.2)) return [...value, ...value];
    const index = prng.between(0, value.length - 1);
    return value.with(index, broken(value[index], prng));
  }
  const members = Object.entries(value);
  const [name, member] = members.length === 0 ? ["a", 1] : prng.pick(members);
  if (prng.chance(0.25)) return { ...value, [prng.pick(NAMES)]: prng.pick(STRANGE) };
  if (prng.chance(0.25)) return Object.fromEntries(members.filter(([each]) => each !== name));
  return { ...value, [name]: broken(member, prng) };
}
