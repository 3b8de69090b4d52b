type Schema = Readonly<Record<string, unknown>>;

/**
 * A JSON Schema as a person reads it, in the notation of TypeScript: `{ orderId: string, quantity: integer 1…10000 }`.
 *
 * @param resolve the schema that a reference stands for
 */
export function shapeOf(schema: unknown, resolve: (reference: string) => unknown, indent = ""): string {
  if (typeof schema !== "object" || schema === null) return "anything";
  const { $ref, const: constant, enum: options, anyOf, allOf, items, type } = schema as Schema;
  if (typeof $ref === "string") return shapeOf(resolve($ref), resolve, indent);
  if (constant !== undefined) return JSON.stringify(constant);
  if (Array.isArray(options)) return options.map((option) => JSON.stringify(option)).join(" | ");
  for (const [parts, sign] of [
    [anyOf, " | "],
    [allOf, " & "],
  ] as const) {
    if (Array.isArray(parts)) return parts.map((part) => shapeOf(part, resolve, indent)).join(sign);
  }
  if (type === "array") return `${shapeOf(items, resolve, indent)}[]`;
  if (type === "object") return shapeOfObject(schema as Schema, resolve, indent);
  return type === undefined ? "anything" : `${type}${limits(schema as Schema)}`;
}

function shapeOfObject(schema: Schema, resolve: (reference: string) => unknown, indent: string): string {
  const { properties, required, patternProperties, additionalProperties } = schema;
  const inner = `${indent}  `;
  const members = Object.entries(Object(properties)).map(([name, member]) => {
    const optional = Array.isArray(required) && required.includes(name) ? "" : "?";
    const { description } = Object(member);
    const remark = typeof description === "string" ? `  (${description})` : "";
    return `${inner}${name}${optional}: ${shapeOf(member, resolve, inner)}${remark}\n`;
  });
  const open = typeof additionalProperties === "object" ? [additionalProperties] : [];
  for (const value of [...Object.values(Object(patternProperties)), ...open]) {
    members.push(`${inner}[name]: ${shapeOf(value, resolve, inner)}\n`);
  }
  return members.length === 0 ? "{}" : `{\n${members.join("")}${indent}}`;
}

function limits({ format, pattern, minimum, maximum, minLength, maxLength }: Schema): string {
  if (format !== undefined) return ` (${format})`;
  if (pattern !== undefined) return ` matching ${pattern}`;
  if (minimum !== undefined || maximum !== undefined) return ` ${minimum ?? ""}…${maximum ?? ""}`;
  if (minLength !== undefined || maxLength !== undefined)
    return ` of ${minLength ?? 0}…${maxLength ?? ""} characters`;
  return "";
}
