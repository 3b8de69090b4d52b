import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Snapshots } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { OrderConfig } from "@distributed-messaging/order/config";
import { provideJars } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { loadConfig } from "@distributed-messaging/service/config";
import { snapshotOptions } from "@distributed-messaging/service/snapshots";
import { freePorts } from "@distributed-messaging/supervisor/ports";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

const DOWNLOAD_MS = 10 * 60_000;
const START_MS = 100_000;
const TIMEOUT_MS = 240_000;
/** More than one answer lists, and how many are stored at once. */
const COUNT = 1_050;
const TOGETHER = 30;
const KEYS = { accessKeyId: "identity", secretAccessKey: "credential" };
const folder = mkdtempSync(join(tmpdir(), "s3-"));
let server: Bun.Subprocess | undefined;
let endpoint = "";

beforeAll(async () => {
  const { java, classPath } = await provideJars(join(import.meta.dir, "pom.xml"), "the jars of S3Proxy");
  const [port] = freePorts(1);
  endpoint = `http://127.0.0.1:${port}`;
  mkdirSync(join(folder, "data", "bucket"), { recursive: true });
  const properties = {
    "s3proxy.authorization": "aws-v2-or-v4",
    "s3proxy.endpoint": endpoint,
    "s3proxy.identity": KEYS.accessKeyId,
    "s3proxy.credential": KEYS.secretAccessKey,
    // Of the files behind it, which need none.
    "jclouds.identity": "none",
    "jclouds.credential": "none",
    "jclouds.provider": "filesystem-nio2",
    "jclouds.filesystem.basedir": join(folder, "data"),
  };
  const file = join(folder, "s3proxy.conf");
  writeFileSync(
    file,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx256m"];
  server = Bun.spawn([java, ...flags, "-cp", classPath, "org.gaul.s3proxy.Main", "--properties", file], {
    stdin: "ignore",
    stdout: Bun.file(join(folder, "log")),
    stderr: Bun.file(join(folder, "log")),
  });
  const answers = () =>
    fetch(endpoint).then(
      () => true,
      () => false,
    );
  await eventually(answers, "the server answers", START_MS);
}, DOWNLOAD_MS);

afterAll(async () => {
  server?.kill("SIGKILL");
  await server?.exited;
  rmSync(folder, { recursive: true, force: true });
});

test(
  "a bucket of S3 lists what is below its prefix, and has, replaces and removes it",
  async () => {
    const store = new S3Snapshots({ ...KEYS, endpoint, bucket: "bucket", prefix: "store/" });
    const other = new S3Snapshots({ ...KEYS, endpoint, bucket: "bucket", prefix: "another/" });
    const [file, copy] = [join(folder, "file"), join(folder, "copy")];
    expect(await store.list()).toEqual([]);
    writeFileSync(file, "first");
    await store.put("one", file);
    writeFileSync(file, "second one");
    await store.put("one", file);
    await other.put("two", file);
    expect(await store.list()).toEqual([{ name: "one", bytes: 10 }]);
    await store.get("one", copy);
    expect(readFileSync(copy, "utf8")).toBe("second one");
    await expect(store.get("missing", copy)).rejects.toThrow();
    await store.remove("one");
    await store.remove("one");
    expect(await store.list()).toEqual([]);
    expect(await other.list()).toEqual([{ name: "two", bytes: 10 }]);
  },
  TIMEOUT_MS,
);

test(
  "an object of several parts is the same afterwards",
  async () => {
    const store = new S3Snapshots({ ...KEYS, endpoint, bucket: "bucket", prefix: "large/" });
    const [file, copy] = [join(folder, "large"), join(folder, "large-copy")];
    const content = crypto.getRandomValues(new Uint8Array(64 * 1024));
    writeFileSync(file, Buffer.concat(Array.from({ length: 320 }, () => content)));
    await store.put("large", file);
    await store.get("large", copy);
    expect(readFileSync(copy).equals(readFileSync(file))).toBe(true);
  },
  TIMEOUT_MS,
);

test(
  "more objects than one answer has are all listed",
  async () => {
    const store = new S3Snapshots({ ...KEYS, endpoint, bucket: "bucket", prefix: "many/" });
    const file = join(folder, "small");
    writeFileSync(file, "x");
    for (let from = 0; from < COUNT; from += TOGETHER) {
      const names = Array.from({ length: TOGETHER }, (_, index) => `object-${from + index}`);
      await Promise.all(names.map((name) => store.put(name, file)));
    }
    const listed = await store.list();
    expect(new Set(listed.map(({ name }) => name)).size).toBe(COUNT);
  },
  TIMEOUT_MS,
);

test(
  "wrong credentials, and a bucket that is missing, are errors; the settings name all of it",
  async () => {
    const wrong = new S3Snapshots({ ...KEYS, secretAccessKey: "wrong", endpoint, bucket: "bucket" });
    await expect(wrong.list()).rejects.toThrow();
    const missing = new S3Snapshots({ ...KEYS, endpoint, bucket: "missing" });
    await expect(missing.list()).rejects.toThrow();
    const settings = {
      ...{ REPLICATION: "on", SNAPSHOTS: "s3://bucket/of/orders", AWS_ENDPOINT: endpoint },
      ...{ AWS_ACCESS_KEY_ID: KEYS.accessKeyId, AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey },
    };
    const store = snapshotOptions(loadConfig(OrderConfig, settings, "order"))?.store;
    const file = join(folder, "file-of-settings");
    writeFileSync(file, "content");
    await store?.put("one", file);
    expect(readFileSync(join(folder, "data", "bucket", "of", "orders", "one"), "utf8")).toBe("content");
  },
  TIMEOUT_MS,
);
