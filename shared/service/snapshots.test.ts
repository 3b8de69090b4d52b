import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Snapshots } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { type ConfigError, commonSettings, loadConfig, replicationSettings } from "./config.ts";
import { snapshotOptions } from "./snapshots.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "snapshots-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("without SNAPSHOTS there are none", () => {
  expect(snapshotOptions({ SNAPSHOT_EVERY: 5 })).toBeUndefined();
});

test("SNAPSHOTS is a folder", async () => {
  const options = snapshotOptions({ SNAPSHOTS: join(directory, "snapshots"), SNAPSHOT_EVERY: 5 });
  expect(options?.every).toBe(5);
  const file = join(directory, "file");
  writeFileSync(file, "content");
  await options?.store.put("one", file);
  expect(await Bun.file(join(directory, "snapshots", "one")).text()).toBe("content");
});

test("SNAPSHOTS is a bucket, whose objects have names below the prefix", async () => {
  const requested: string[] = [];
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ method, url, headers }) => {
      requested.push(`${method} ${new URL(url).pathname} ${headers.get("authorization")?.slice(0, 28)}`);
      return new Response(null, { status: 204 });
    },
  });
  const credentials = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "eu-west-1" };
  const place = { AWS_ENDPOINT: `http://127.0.0.1:${server.port}`, ...credentials };
  for (const SNAPSHOTS of [
    "s3://bucket",
    "s3://bucket/",
    "s3://bucket/of/orders",
    "s3://bucket/of/orders/",
  ]) {
    const options = snapshotOptions({ SNAPSHOTS, ...place });
    expect(options?.store).toBeInstanceOf(S3Snapshots);
    await options?.store.remove("one");
  }
  const signed = "AWS4-HMAC-SHA256 Credential=";
  expect(requested).toEqual([
    `DELETE /bucket/one ${signed}`,
    `DELETE /bucket/one ${signed}`,
    `DELETE /bucket/of/orders/one ${signed}`,
    `DELETE /bucket/of/orders/one ${signed}`,
  ]);
});

test("the secret of a bucket may be in a file, which is read for each request", async () => {
  const secret = join(directory, "secret");
  writeFileSync(secret, "first\n");
  const tokens: (string | null)[] = [];
  const signatures = new Set<string>();
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ headers }) => {
      tokens.push(headers.get("x-amz-security-token"));
      signatures.add(/Signature=(\w+)/.exec(headers.get("authorization") ?? "")?.[1] ?? "");
      return new Response(null, { status: 204 });
    },
  });
  const token = join(directory, "token");
  writeFileSync(token, "one");
  const options = snapshotOptions({
    ...{
      SNAPSHOTS: "s3://bucket",
      AWS_ENDPOINT: `http://127.0.0.1:${server.port}`,
      AWS_ACCESS_KEY_ID: "key",
    },
    ...{ AWS_SECRET_ACCESS_KEY_FILE: secret, AWS_SESSION_TOKEN_FILE: token },
  });
  await options?.store.remove("one");
  writeFileSync(secret, "second");
  writeFileSync(token, "two\n");
  await options?.store.remove("one");
  expect(tokens).toEqual(["one", "two"]);
  expect(signatures.size).toBe(2);
  rmSync(secret);
  expect(options?.store.remove("one")).rejects.toThrow("AWS_SECRET_ACCESS_KEY_FILE: there is no file");
});

test("settings without a secret, with two, or with one that cannot be read, are refused", () => {
  const place = { REPLICATION: "on", SNAPSHOTS: "s3://bucket", AWS_ACCESS_KEY_ID: "key" };
  const problems = (env: Record<string, string>) => {
    try {
      loadConfig(Type.Object({ ...commonSettings, ...replicationSettings }), { ...place, ...env }, "order");
      return [];
    } catch (error) {
      return (error as ConfigError).problems;
    }
  };
  const file = join(directory, "secret");
  expect(problems({})).toEqual(["AWS_SECRET_ACCESS_KEY: is not set, SNAPSHOTS in S3 need it"]);
  expect(problems({ AWS_SECRET_ACCESS_KEY_FILE: file })).toEqual([
    expect.stringContaining("AWS_SECRET_ACCESS_KEY_FILE: there is no file that can be read (ENOENT)"),
  ]);
  writeFileSync(file, "secret\n");
  expect(problems({ AWS_SECRET_ACCESS_KEY_FILE: file })).toEqual([]);
  expect(problems({ AWS_SECRET_ACCESS_KEY_FILE: file, AWS_SECRET_ACCESS_KEY: "too" })).toEqual([
    "AWS_SECRET_ACCESS_KEY_FILE: is set, but AWS_SECRET_ACCESS_KEY is, too",
  ]);
});
