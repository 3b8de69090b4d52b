import { expect, test } from "bun:test";
import { ConfigError, loadConfig } from "@distributed-messaging/service/config";
import { OrderConfig } from "./config.ts";

test("BACKORDER_TTL is a day, or from a second to a year", () => {
  const ttl = (value?: string) => loadConfig(OrderConfig, { BACKORDER_TTL: value }, "order").BACKORDER_TTL;
  expect(ttl()).toBe(86_400_000);
  expect(ttl("1s")).toBe(1_000);
  expect(ttl("365d")).toBe(31_536_000_000);
  for (const wrong of ["999ms", "366d", "0s", "24", "-1h", "soon"]) {
    expect(() => ttl(wrong)).toThrow(ConfigError);
    expect(() => ttl(wrong)).toThrow(/BACKORDER_TTL: expected a duration from 1s to 365d/);
  }
});
