import { afterEach, expect, test } from "bun:test";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readSettings } from "./settings.ts";
import { BrokerProcess, runToEnd } from "./testing/process.ts";
import { cleanAll, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

test("settings have defaults; the first address in KAFKA_BROKERS is used", () => {
  expect(readSettings({})).toEqual({
    host: "localhost",
    port: 9092,
    dataDir: ".data/broker",
    logLevel: "info",
    autoCreateTopics: false,
  });
  const env = {
    KAFKA_BROKERS: "127.0.0.1:0, b:2",
    DATA_DIR: "/d",
    LOG_LEVEL: "error",
    AUTO_CREATE_TOPICS: "true",
  };
  expect(readSettings(env)).toEqual({
    host: "127.0.0.1",
    port: 0,
    dataDir: "/d/broker",
    logLevel: "error",
    autoCreateTopics: true,
  });
  expect(readSettings({ KAFKA_BROKERS: "[::1]:9092" })).toMatchObject({ host: "::1", port: 9092 });
  expect(readSettings({ BROKER_PORT: "9999" })).toMatchObject({ host: "localhost", port: 9999 });
  expect(readSettings({ ...env, BROKER_PORT: "9999" })).toMatchObject({ host: "127.0.0.1", port: 0 });
});

test.each(["nonsense", "host:", ":9092", "host:99999", "http://host:9092", "a b:1"])(
  "KAFKA_BROKERS=%j is refused",
  (value) => {
    expect(() => readSettings({ KAFKA_BROKERS: value })).toThrow(`KAFKA_BROKERS: "${value}"`);
  },
);

test.each(["nonsense", "99999"])("BROKER_PORT=%j is refused", (value) => {
  expect(() => readSettings({ BROKER_PORT: value })).toThrow(`BROKER_PORT: "${value}" is not a port`);
});

test("every invalid setting is named", () => {
  const bad = () => readSettings({ KAFKA_BROKERS: "x", LOG_LEVEL: "loud", AUTO_CREATE_TOPICS: "perhaps" });
  expect(bad).toThrow(/^KAFKA_BROKERS.*\nLOG_LEVEL.*\nAUTO_CREATE_TOPICS.*$/);
});

test("logs one JSON line when it listens, and exits with 0 on a signal", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const process = await BrokerProcess.start(await temporaryDirectory());
    expect(process.listening).toMatchObject({
      level: "info",
      process: "broker",
      msg: "listening",
      host: "localhost",
    });
    expect(process.port).toBeGreaterThan(0);
    expect(await process.end(signal)).toEqual({ code: 0, stderr: "" });
  }
});

test("keeps running when its stdout is closed", async () => {
  const process = await BrokerProcess.start(await temporaryDirectory());
  await process.closeOutput();
  const socket = await Bun.connect({ hostname: "127.0.0.1", port: process.port, socket: { data() {} } });
  socket.write(new Uint8Array([255, 255, 255, 255]));
  expect(await process.end("SIGTERM")).toEqual({ code: 0, stderr: "" });
});

test("a port in use causes one line on stderr and exit code 1", async () => {
  const broker = await temporaryBroker();
  const env = { KAFKA_BROKERS: `localhost:${broker.port}`, DATA_DIR: await temporaryDirectory() };
  expect(await runToEnd(env)).toEqual({
    code: 1,
    stderr: `broker: port ${broker.port} of 127.0.0.1 is in use by another process\n`,
  });
});

test("a data directory in use causes one line on stderr and exit code 1, until its broker is killed", async () => {
  const dataDir = await temporaryDirectory();
  const first = await BrokerProcess.start(dataDir);
  const { code, stderr } = await runToEnd({ KAFKA_BROKERS: "localhost:0", DATA_DIR: dataDir });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^broker: the data directory cannot be used: .* is in use by another broker\n$/);
  await first.end("SIGKILL");
  const second = await BrokerProcess.start(dataDir);
  expect(await second.end("SIGTERM")).toEqual({ code: 0, stderr: "" });
});

test("an invalid data directory causes one line on stderr and exit code 1", async () => {
  const dataDir = join(await temporaryDirectory(), "file");
  await writeFile(dataDir, "");
  const { code, stderr } = await runToEnd({ KAFKA_BROKERS: "localhost:0", DATA_DIR: dataDir });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^broker: the data directory cannot be used: [^\n]*\n$/);
});

test.skipIf(process.getuid?.() === 0)(
  "a data directory without permission causes one line on stderr and exit code 1",
  async () => {
    const dataDir = join(await temporaryDirectory(), "locked");
    await mkdir(dataDir);
    await chmod(dataDir, 0o500);
    const { code, stderr } = await runToEnd({ KAFKA_BROKERS: "localhost:0", DATA_DIR: dataDir });
    expect([code, stderr.split("\n").length]).toEqual([1, 2]);
  },
);

test("an invalid setting causes one line on stderr and exit code 1", async () => {
  const env = { KAFKA_BROKERS: "nowhere", DATA_DIR: await temporaryDirectory() };
  expect(await runToEnd(env)).toEqual({
    code: 1,
    stderr: 'broker: KAFKA_BROKERS: "nowhere" is not host:port\n',
  });
});

test("UNSUPPORTED.md lists every supported API with its versions", async () => {
  const { apis } = await import("./registry.ts");
  const text = (await readFile(join(import.meta.dir, "UNSUPPORTED.md"), "utf8")).replaceAll(/ +\|/g, " |");
  for (const { key, name, minVersion, maxVersion } of apis.values()) {
    expect(text).toContain(`| ${key} | ${name} | ${minVersion}–${maxVersion} |`);
  }
});
