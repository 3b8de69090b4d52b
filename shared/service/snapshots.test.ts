import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Snapshots } from "@distributed-messaging/messaging";
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
