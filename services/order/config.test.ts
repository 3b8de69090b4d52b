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
  const credentials = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" };
  expect(problems({ REPLICATION: "on", SNAPSHOTS: "s3://bucket/a/prefix", ...credentials })).toEqual([]);
  expect(problems({ REPLICATION: "on", SNAPSHOTS: "../snapshots" })).toEqual([]);
  expect(problems({ REPLICATION: "on", SNAPSHOTS: "s3://bucket", SNAPSHOT_EVERY: "10" })).toEqual([
    "AWS_ACCESS_KEY_ID: is not set, SNAPSHOTS in S3 need it",
    "AWS_SECRET_ACCESS_KEY: is not set, SNAPSHOTS in S3 need it",
  ]);
  for (const SNAPSHOTS of ["s3://", "gs://bucket", "https://example.org/bucket"]) {
    expect(problems({ SNAPSHOTS })).toEqual([
      `SNAPSHOTS: expected a folder or s3://bucket/prefix, got '${SNAPSHOTS}'`,
    ]);
  }
  expect(problems({ REPLICATION: "yes" })).toEqual(["REPLICATION: expected one of off, on, got 'yes'"]);
});
