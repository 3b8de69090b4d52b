import { afterEach, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argumentNames, readArguments, USAGE } from "./arguments.ts";
import { version } from "./package.json";
import { readSettings, SettingsError } from "./settings.ts";
import { adminFor, kafkaFor, producerFor, RunningConsumer } from "./testing/kafkajs.ts";
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
    topics: [],
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
    topics: [],
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

test.each([
  ["trace", "debug"],
  ["fatal", "error"],
] as const)("LOG_LEVEL=%s, of programs that have more levels, is %s", (value, level) => {
  expect(readSettings({ LOG_LEVEL: value }).logLevel).toBe(level);
  expect(() => readSettings({}, readArguments(["--log-level", value]))).toThrow("--log-level");
});

test.each(["nonsense", "99999"])("BROKER_PORT=%j is refused", (value) => {
  expect(() => readSettings({ BROKER_PORT: value })).toThrow(`BROKER_PORT: "${value}" is not a port`);
});

test("an argument overrides its environment variable, which is not looked at then", () => {
  const bad = {
    KAFKA_BROKERS: "x",
    BROKER_PORT: "x",
    DATA_DIR: "/d",
    LOG_LEVEL: "loud",
    AUTO_CREATE_TOPICS: "perhaps",
  };
  const args = "--host ::1 --port 1 --data-dir /e --log-level=warn --auto-create --advertised [::1]:3".split(
    " ",
  );
  const topics = ["--topic", "a:3", "--topic", "b"];
  expect(readSettings(bad, readArguments([...args, ...topics]))).toEqual({
    host: "::1",
    port: 1,
    advertised: "[::1]:3",
    dataDir: "/e/broker",
    logLevel: "warn",
    autoCreateTopics: true,
    topics: [
      { name: "a", partitions: 3 },
      { name: "b", partitions: 1 },
    ],
  });
  const listed = { KAFKA_BROKERS: "127.0.0.1:2" };
  expect(readSettings(listed, readArguments(["--port", "1"]))).toMatchObject({ host: "127.0.0.1", port: 1 });
  expect(readSettings(listed, readArguments(["--host", "localhost"]))).toMatchObject({
    host: "localhost",
    port: 2,
  });
  expect(
    readSettings(bad, readArguments(["--in-memory", ...args.filter((arg) => !/data-dir|\/e/.test(arg))])),
  ).not.toHaveProperty("dataDir");
});

test.each([
  [["--nope"], "--nope: unknown argument; --help lists them"],
  [["-x"], "-x: unknown argument; --help lists them"],
  [["start"], "start: unknown argument; --help lists them"],
  [["--", "start"], "start: unknown argument; --help lists them"],
  [["--no-port"], "--no-port: unknown argument; --help lists them"],
  [["--port"], "--port: a value is missing"],
  [["--data-dir", "--in-memory"], "--data-dir: a value is missing"],
  [["--data-dir="], "--data-dir: a value is missing"],
  [["--data-dir", ""], "--data-dir: a value is missing"],
  [["--auto-create=true"], "--auto-create: takes no value"],
  [["--port", "65536"], '--port: "65536" is not a port'],
  [["--port", "-1"], '--port: "-1" is not a port'],
  [["--host", "localhost:9092"], '--host: "localhost:9092" is not an address'],
  [["--advertised", "localhost"], '--advertised: "localhost" is not a host:port to connect to'],
  [["--advertised", "0.0.0.0:9092"], '--advertised: "0.0.0.0:9092" is not a host:port to connect to'],
  [["--advertised", "localhost:0"], '--advertised: "localhost:0" is not a host:port to connect to'],
  [["--in-memory", "--data-dir", "d"], "--in-memory: excludes --data-dir"],
  [["--log-level", "loud"], '--log-level: "loud" is not debug, info, warn, error or silent'],
  [["--topic", "a b:1"], '--topic: "a b:1": a topic name is 1 to 249 of a-z A-Z 0-9 . _ -'],
  [["--topic", "a:0"], '--topic: "a:0": a topic has 1 to 1000 partitions'],
  [["--topic", "a:1e1"], '--topic: "a:1e1": a topic has 1 to 1000 partitions'],
  [["--topic", "a:1:2"], '--topic: "a:1:2": a topic has 1 to 1000 partitions'],
  [["--topic", "a:1", "--topic", "a:2"], '--topic: "a" is given twice'],
])("%j is refused", async (args, problem) => {
  const refused = Promise.try(() => readSettings({}, readArguments(args)));
  await expect(refused).rejects.toEqual(new SettingsError([problem], true));
  await expect(refused).rejects.toMatchObject({ inArguments: true });
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
    stdout: "",
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

test("wrong arguments are all named with exit code 2, and nothing is done", async () => {
  const directory = await temporaryDirectory();
  const args = ["--data-dir", join(directory, "data"), "--port=x", "--nope", "--topic", "a:0"];
  const end = await runToEnd({ KAFKA_BROKERS: "", LOG_LEVEL: "loud" }, args);
  expect(end).toEqual({
    code: 2,
    stdout: "",
    stderr: [
      "broker: --nope: unknown argument; --help lists them",
      'broker: --port: "x" is not a port',
      'broker: LOG_LEVEL: "loud" is not debug, info, warn, error or silent',
      'broker: --topic: "a:0": a topic has 1 to 1000 partitions',
      "",
    ].join("\n"),
  });
  expect(await readdir(directory)).toEqual([]);
});

test("--help and --version print what they say, and nothing is done", async () => {
  expect(await runToEnd({}, ["--help"])).toEqual({ code: 0, stdout: USAGE, stderr: "" });
  expect(await runToEnd({}, ["-h", "--nope"])).toEqual({ code: 0, stdout: USAGE, stderr: "" });
  expect(await runToEnd({}, ["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
});

test("the usage fits into a terminal, and names every argument and environment variable", () => {
  expect(USAGE.split("\n").filter((line) => line.length > 120)).toEqual([]);
  for (const name of argumentNames) expect(USAGE).toContain(`--${name}`);
  for (const name of ["BROKER_PORT", "KAFKA_BROKERS", "DATA_DIR", "LOG_LEVEL", "AUTO_CREATE_TOPICS"]) {
    expect(USAGE).toContain(name);
  }
});

test("the README lists every argument with the variable and the default of the usage", async () => {
  const readme = await readFile(join(import.meta.dir, "README.md"), "utf8");
  const cells = (line: string) => line.split("|").map((cell) => cell.trim().replaceAll("`", ""));
  const rows = new Map(
    readme.split("\n").flatMap((line) => {
      const [, argument = "", variable = "", defaultValue = ""] = cells(line);
      return /^--[a-z]/.test(argument) ? [[argument, { variable, defaultValue }] as const] : [];
    }),
  );
  const listed = USAGE.split("\n").flatMap((line) => /^ {2}(--\S+(?: [A-Z:]+)?) {2}/.exec(line)?.[1] ?? []);
  expect([...rows.keys()].filter((row) => row !== "--help, --version").sort()).toEqual(listed.sort());
  for (const [argument, { variable, defaultValue }] of rows) {
    const line = USAGE.split("\n").find((one) => one.startsWith(`  ${argument}`)) ?? "";
    expect(line).toContain(variable && `(${variable})`);
    if (/^[\w.]+$/.test(defaultValue) && defaultValue !== "off") expect(line).toContain(defaultValue);
  }
});

test("with --in-memory no file is written, by a process that stores and serves records", async () => {
  const directory = await temporaryDirectory();
  const process = await BrokerProcess.start(directory, 0, ["--in-memory", "--topic", "t:2"]);
  expect(process.listening).toMatchObject({ storage: "memory", advertised: `localhost:${process.port}` });
  const kafka = kafkaFor({ port: process.port });
  const producer = await producerFor(kafka);
  const messages = Array.from({ length: 100 }, (_, index) => ({ value: String(index) }));
  await producer.send({ topic: "t", messages });
  const running = await RunningConsumer.start(kafka, "t", { groupId: "g" });
  await running.until((received) => received.length === messages.length);
  await running.consumer.disconnect();
  await process.end("SIGTERM");
  expect(await readdir(directory)).toEqual([]);
});

test("a topic that exists with other partitions stops the start, before a client can connect", async () => {
  const dataDir = await temporaryDirectory();
  const first = await BrokerProcess.start(dataDir, 0, ["--topic", "t:2"]);
  await first.end("SIGTERM");
  const env = { KAFKA_BROKERS: "localhost:0", DATA_DIR: dataDir };
  expect(await runToEnd(env, ["--topic", "t:3"])).toMatchObject({
    code: 1,
    stderr: "broker: topic t exists with 2 partitions, not 3\n",
  });
  const again = await BrokerProcess.start(dataDir, 0, ["--topic", "t:2", "--topic", "u"]);
  const admin = await adminFor(kafkaFor({ port: again.port }));
  expect((await admin.listTopics()).sort()).toEqual(["t", "u"]);
});

test("an invalid setting causes one line on stderr and exit code 1", async () => {
  const env = { KAFKA_BROKERS: "nowhere", DATA_DIR: await temporaryDirectory() };
  expect(await runToEnd(env)).toEqual({
    code: 1,
    stdout: "",
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
