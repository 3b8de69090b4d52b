import { describe, expect, test } from "bun:test";
import { childOf, formatTraceparent, parseTraceparent } from "./trace-context.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";

describe("traceparent", () => {
  test("is parsed and formatted as in the example of the spec", () => {
    const header = `00-${traceId}-${spanId}-01`;
    expect(parseTraceparent(header)).toEqual({ traceId, spanId, sampled: true });
    expect(formatTraceparent({ traceId, spanId, sampled: true })).toBe(header);
    expect(parseTraceparent(`00-${traceId}-${spanId}-00`)?.sampled).toBe(false);
  });

  test("of a later version is parsed as version 00 (§3.2.4)", () => {
    expect(parseTraceparent(`01-${traceId}-${spanId}-01-more`)).toEqual({ traceId, spanId, sampled: true });
    expect(parseTraceparent(`cc-${traceId}-${spanId}-09`)?.sampled).toBe(true);
  });

  test.each([
    null,
    undefined,
    "",
    "00",
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `01-${traceId}-${spanId}-01-${"x".repeat(1000)}`,
    `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`,
  ])("%p is not valid", (header) => expect(parseTraceparent(header)).toBeUndefined());

  test("a child has its parent's trace", () => {
    const parent = childOf(undefined);
    const child = childOf(parent);
    expect(child.traceId).toBe(parent.traceId);
    expect(child.spanId).not.toBe(parent.spanId);
    expect(childOf({ ...parent, sampled: false }).sampled).toBe(false);
    expect(parseTraceparent(formatTraceparent(childOf(undefined)))).toBeDefined();
  });

  test("ids are unique", () => {
    const ids = Array.from({ length: 2000 }, () => childOf(undefined)).flatMap(({ traceId, spanId }) => [
      traceId,
      spanId,
    ]);
    expect(new Set(ids).size).toBe(4000);
    expect(ids.every((id, index) => (index % 2 === 0 ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{16}$/).test(id))).toBe(
      true,
    );
  });
});
