/** A JSON Schema. */
type Schema = Readonly<Record<string, unknown>>;

/** Of texts, by their format. */
const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2026-01-31T12:00:00.000Z",
  "uri-reference": "urn:problem-type:not-found",
};

/** Of texts with a pattern: a currency, a number, a duration. */
const WORDS = ["EUR", "1", "1h"];

/**
 * A value for the documents: the first of the schema's own `examples`, or one made from its members.
 *
 * @param name of the property or parameter that the schema describes
 */
export function exampleOf(schema: unknown, name = "value"): unknown {
  if (typeof schema !== "object" || schema === null) return {};
  const { examples, const: constant, enum: options, default: fallback, anyOf, allOf } = schema as Schema;
  for (const values of [examples, options]) if (Array.isArray(values)) return values[0];
  if (constant !== undefined) return constant;
  if (fallback !== undefined) return fallback;
  if (Array.isArray(anyOf)) return exampleOf(anyOf[0], name);
  if (Array.isArray(allOf)) return Object.assign({}, ...allOf.map((part) => exampleOf(part, name)));
  return exampleOfType(schema as Schema, name);
}

function exampleOfType(schema: Schema, name: string): unknown {
  switch (schema.type) {
    case "object":
      return exampleOfObject(schema);
    case "array":
      return [exampleOf(schema.items, name)];
    case "integer":
    case "number":
      return Number(schema.minimum ?? 1);
    case "boolean":
      return false;
    case "null":
      return null;
    case "string":
      return exampleOfText(schema, name);
    default:
      return {};
  }
}

function exampleOfObject({ properties, patternProperties, additionalProperties }: Schema): object {
  if (typeof properties === "object" && properties !== null) {
    return Object.fromEntries(
      Object.entries(properties).map(([member, schema]) => [member, exampleOf(schema, member)]),
    );
  }
  const [values] = Object.values(Object(patternProperties));
  const value = values ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
  return value === undefined ? {} : { name: exampleOf(value) };
}

/** `productId` → `PRODUCT_001` */
function exampleOfText({ format, pattern, contentEncoding }: Schema, name: string): string {
  const known = FORMATS[String(format)];
  if (known !== undefined) return known;
  if (contentEncoding === "base64") return "e30=";
  const id = /^(\w+)Id$/.exec(name)?.[1];
  if (id !== undefined) return `${id.toUpperCase()}_001`;
  const fits = new RegExp(String(pattern ?? ""), "u");
  return [name, ...WORDS].find((word) => fits.test(word)) ?? name;
}
