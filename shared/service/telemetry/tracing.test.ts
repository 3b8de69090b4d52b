import { describe, expect, test } from "bun:test";
import { childOf, formatTraceparent, newTrace, parseTraceparent, traceOf } from "./tracing.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";

describe("traceparent", () => {
  test("is read and written as the spec's own example", () => {
    const header = `00-${traceId}-${spanId}-01`;
    expect(parseTraceparent(header)).toEqual({ traceId, spanId, sampled: true });
    expect(formatTraceparent({ traceId, spanId, sampled: true })).toBe(header);
    expect(parseTraceparent(`00-${traceId}-${spanId}-00`)?.sampled).toBe(false);
  });

  test("of a later version is read as far as it is known (§3.2.4)", () => {
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
  ])("%p is none", (header) => expect(parseTraceparent(header)).toBeUndefined());

  test("a child stays in its parent's trace", () => {
    const parent = newTrace();
    const child = childOf(parent);
    expect(child.traceId).toBe(parent.traceId);
    expect(child.spanId).not.toBe(parent.spanId);
    expect(childOf({ ...parent, sampled: false }).sampled).toBe(false);
    expect(parseTraceparent(formatTraceparent(childOf(undefined)))).toBeDefined();
  });

  test("ids do not repeat", () => {
    const ids = Array.from({ length: 2000 }, () => newTrace()).flatMap(({ traceId, spanId }) => [
      traceId,
      spanId,
    ]);
    expect(new Set(ids).size).toBe(4000);
    expect(ids.every((id, index) => (index % 2 === 0 ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{16}$/).test(id))).toBe(
      true,
    );
  });

  test("a request keeps one span however often it is asked for", () => {
    const request = new Request("http://h", { headers: { traceparent: `00-${traceId}-${spanId}-01` } });
    const context = traceOf(request);
    expect(context.traceId).toBe(traceId);
    expect(context.spanId).not.toBe(spanId);
    expect(traceOf(request)).toBe(context);
  });
});
