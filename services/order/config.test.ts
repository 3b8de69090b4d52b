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

test("with REPLICATION=on, a service that listens on every address says where it is reached", () => {
  const problems = (env: Readonly<Record<string, string>>) => {
    try {
      loadConfig(OrderConfig, env, "order");
      return [];
    } catch (error) {
      return error instanceof ConfigError ? error.problems : [String(error)];
    }
  };
  const everywhere = { HOST: "0.0.0.0", REPLICATION: "on" };
  expect(problems(everywhere)).toEqual([
    "ADVERTISED_URL: is not set, with REPLICATION=on it is needed where HOST is 0.0.0.0",
  ]);
  expect(problems({ ...everywhere, ADVERTISED_URL: "http://order-1:8902" })).toEqual([]);
  expect(problems({ ...everywhere, REPLICATION: "off" })).toEqual([]);
  expect(problems({ REPLICATION: "on" })).toEqual([]);
  expect(problems({ REPLICATION: "yes" })).toEqual(["REPLICATION: expected one of off, on, got 'yes'"]);
});
