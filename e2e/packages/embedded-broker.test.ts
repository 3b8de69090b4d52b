import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Kafka, logLevel } from "kafkajs";
import { Records } from "../support/records.ts";
import { runToEnd } from "../support/run-to-end.ts";
import { slowTest } from "../support/slow-test.ts";
import { BrokerCommand, portIsFree, stopAll } from "./broker-command.ts";
import { OutsideFolder } from "./installed.ts";

/* The package as a stranger installs it, and what its README says, outside of the repository. */

/** Downloads, on a slow line. */
const LIMIT_MS = 180_000;
const source = join(ROOT, "redpanda/embedded");
const readme = readFileSync(join(source, "README.md"), "utf8");
/** A code block of the README. */
const block = (info: string) => {
  const [, code] = new RegExp(`^\`\`\`${info}\\n(.*?)^\`\`\`$`, "ms").exec(readme) ?? [];
  if (code === undefined) throw new Error(`the README has no block ${info}`);
  return code;
};

const node = Bun.which("node");
const nodeVersion = node ? Bun.spawnSync([node, "--version"]).stdout.toString().trim().slice(1) : "0.0.0";
const nodeRuns = Bun.semver.satisfies(nodeVersion, ">=20.19.0");
const nodeHasSqlite = Bun.semver.satisfies(nodeVersion, ">=22.13.0");
const nodeHasZstd = Bun.semver.satisfies(nodeVersion, ">=22.15.0");
if (!nodeRuns)
  console.warn("Node 20.19 or later is not installed: the tests of the embedded broker with it are skipped");
const isSlow = process.env.SLOW_TESTS === "true";
const npx = Bun.which("npx");
const kcat = Bun.which("kcat");
if (!kcat) console.warn("kcat is not installed: the tests of the embedded broker with it are skipped");

const outside = new OutsideFolder();
const folder = outside.folder("user");
/** A PATH on which there is Node and no Bun. */
const nodeOnly = outside.folder("node-only");
const inFolder = (path: string) => join(folder, path);
const command = inFolder("node_modules/.bin/embedded-broker");
let tarball = "";

beforeAll(async () => {
  tarball = await outside.pack("embedded-broker");
  const manifest = { name: "user", type: "module", scripts: { test: "kcat -b localhost:$BROKER_PORT -L" } };
  writeFileSync(inFolder("package.json"), JSON.stringify(manifest));
  await outside.run([process.execPath, "add", `../${tarball}`, "kafkajs@2.2.4"], folder);
  for (const name of ["node", "npx", "npm", "sh", "dirname", "readlink", "grep", "sleep", "cat", "kcat"]) {
    const path = Bun.which(name);
    if (path) symlinkSync(path, join(nodeOnly, name));
  }
}, LIMIT_MS);
afterEach(stopAll);
afterAll(() => outside.remove());

/** Creates a topic, writes a record and reads it. */
async function roundTrip(address: string, topic = "greetings"): Promise<string | undefined> {
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic }] });
  await admin.disconnect();
  const records = new Records(address);
  await records.write([{ topic, key: Buffer.from("a"), value: Buffer.from("hello") }]);
  const [record] = await records.read(topic);
  return record?.value?.toString();
}

const onBun = () => outside.env();
const onNode = () => ({ ...outside.env(), PATH: nodeOnly });

test("the README installs the file that is packed", () => {
  expect(block("sh install")).toBe(`npm install --save-dev ./${tarball}\n`);
});

test.skipIf(!isSlow || !npx || !nodeRuns)(
  "npm installs it by that line, without Bun, and Node runs it",
  async () => {
    const cwd = outside.folder("by-npm");
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ name: "by-npm", type: "module" }));
    copyFileSync(join(outside.path, tarball), join(cwd, tarball));
    const run = (script: string) => runToEnd(["/bin/sh", "-e", "-c", script], { cwd, env: onNode() });
    expect(await run(block("sh install"))).toMatchObject({ exitCode: 0 });
    const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
    expect(await run("npx embedded-broker --version")).toMatchObject({ exitCode: 0, stdout: `${version}\n` });
  },
  LIMIT_MS,
);

slowTest(
  "the types are whole and strict, with the types of Node alone; so are the examples of the README",
  async () => {
    const program = `
      import { ApiKey, type Broker, type BrokerOptions, ErrorCode, startBroker } from "@distributed-messaging/embedded-broker";
      const options: BrokerOptions = { dataDir: "data", topics: [{ name: "greetings", partitions: 3 }] };
      const broker: Broker = await startBroker(options);
      broker.control.on(ApiKey.Fetch, { fault: "fail", code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
      const brokers: string[] = broker.brokers;
      console.log(brokers.length, broker.port > 0, broker.topics.resolve({ name: "greetings", id: null }).partitions.length);
      await broker.stop();
    `;
    writeFileSync(inFolder("program.ts"), program);
    for (const name of ["example.ts", "faults.ts"]) writeFileSync(inFolder(name), block(`ts file=${name}`));
    const compilerOptions = {
      ...{ target: "ESNext", lib: ["ESNext"], module: "NodeNext", strict: true, noEmit: true },
      ...{ noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, verbatimModuleSyntax: true },
      ...{ types: ["node"], typeRoots: [join(ROOT, "node_modules/@types")] },
    };
    const files = ["program.ts", "example.ts", "faults.ts"];
    writeFileSync(inFolder("tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    await outside.run([process.execPath, join(ROOT, "node_modules/typescript/bin/tsc")], folder);
    expect(await outside.run([process.execPath, "program.ts"], folder)).toBe("1 true 3\n");
    expect(await outside.run([process.execPath, "faults.ts"], folder)).toBe("");
  },
  LIMIT_MS,
);

describe("the library example of the README", () => {
  const printed = "2\n";

  test(
    "on Bun",
    async () => {
      writeFileSync(inFolder("example.ts"), block("ts file=example.ts"));
      const { stdout } = await runToEnd([process.execPath, "example.ts"], {
        cwd: folder,
        env: quiet(onBun()),
      });
      expect(stdout).toBe(printed);
    },
    LIMIT_MS,
  );

  test.skipIf(!nodeRuns)(
    "on Node",
    async () => {
      writeFileSync(inFolder("example.mjs"), block("ts file=example.ts"));
      const env = quiet(onNode());
      const { stdout, stderr } = await runToEnd([node ?? "", "example.mjs"], { cwd: folder, env });
      expect({ stdout, stderr }).toMatchObject({ stdout: printed });
    },
    LIMIT_MS,
  );

  /** kafkajs logs the lost response. */
  function quiet(env: Readonly<Record<string, string | undefined>>) {
    return { ...env, KAFKAJS_LOG_LEVEL: "NOTHING", KAFKAJS_NO_PARTITIONER_WARNING: "1" };
  }
});

describe.each([
  ["npx", !npx || !nodeRuns || !isSlow],
  ["bunx", false],
] as const)("as a process, by %s", (runner, isSkipped) => {
  const env = { ...(runner === "npx" ? onNode() : onBun()), NODE_ENV: "test" };
  const shell = (script: string) => [
    ...["/bin/sh", "-e", "-c"],
    script.replaceAll("npx", runner === "npx" ? "npx" : `${process.execPath} x`),
  ];

  test.skipIf(isSkipped)(
    "it prints its usage, and refuses what it does not know",
    async () => {
      const run = (args: string) => runToEnd(shell(`npx embedded-broker ${args}`), { cwd: folder, env });
      expect(await run("--help")).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining("--advertised"),
      });
      const refused = await run("--nope --port=x --data-dir nothing");
      expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
      expect(refused.stderr).toContain(
        'broker: --nope: unknown argument; --help lists them\nbroker: --port: "x" is not a port\n',
      );
      expect(readdirSync(folder)).not.toContain("nothing");
    },
    LIMIT_MS,
  );

  test.skipIf(isSkipped || !kcat)(
    "the lines of the README serve kcat",
    async () => {
      const broker = await BrokerCommand.start(shell(`exec ${block("sh process")}`), folder, {
        ...env,
        BROKER_PORT: "0",
      });
      try {
        const client = shell(block("sh client").replaceAll("localhost:9092", broker.address));
        expect(await runToEnd(client, { cwd: folder, env })).toMatchObject({
          exitCode: 0,
          stdout: "hello\n",
        });
      } finally {
        await broker.stop();
      }
    },
    LIMIT_MS,
  );

  test.skipIf(isSkipped || !isSlow || !kcat || !npx)(
    "the lines of the README for continuous integration run the tests when it listens",
    async () => {
      const [port = 0] = freePorts(1);
      // A process group of its own, so that what it leaves in the background can be ended.
      const [program = "", ...args] = shell(block("sh ci"));
      const settings = { ...env, BROKER_PORT: String(port) };
      const step = spawn(program, args, {
        cwd: folder,
        detached: true,
        env: settings,
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        let output = "";
        step.stdout.on("data", (chunk) => {
          output += String(chunk);
        });
        expect(await new Promise((resolve) => step.once("exit", resolve))).toBe(0);
        expect(output).toContain('topic "greetings" with 3 partitions');
      } finally {
        if (step.pid !== undefined) process.kill(-step.pid, "SIGTERM");
        await portIsFree(port);
      }
    },
    LIMIT_MS,
  );
});

test(
  "the command takes BROKER_PORT, and a second broker does not take its directory",
  async () => {
    const broker = await BrokerCommand.start([command], folder, { ...onBun(), BROKER_PORT: "0" });
    try {
      expect(broker.listening.storage).toBe(".data/broker");
      expect(await roundTrip(broker.address)).toBe("hello");
      const taken = outside.run([command], folder, { BROKER_PORT: "0" });
      await expect(taken).rejects.toThrow("the data directory cannot be used");
    } finally {
      expect(await broker.stop()).toBe(0);
    }
  },
  LIMIT_MS,
);

test(
  "in memory, more partitions than files may be open serve clients",
  async () => {
    const script = `ulimit -n 128; exec ${command} --in-memory --port 0 --topic many:200`;
    const broker = await BrokerCommand.start(["/bin/sh", "-c", script], outside.folder("many"), onBun());
    expect(await roundTrip(broker.address)).toBe("hello");
    expect(await broker.stop()).toBe(0);
  },
  LIMIT_MS,
);

describe.skipIf(!nodeRuns)("the command on Node, without Bun", () => {
  test(
    "serves clients in memory, and stops in good order",
    async () => {
      const cwd = outside.folder("in-memory");
      const broker = await BrokerCommand.start([command, "--in-memory", "--port", "0"], cwd, onNode());
      expect(await roundTrip(broker.address)).toBe("hello");
      expect(await broker.stop()).toBe(0);
      expect(readdirSync(cwd)).toEqual([]);
    },
    LIMIT_MS,
  );

  test.skipIf(!kcat)(
    "takes zstd from Node 22.15 on, and refuses it by name before",
    async () => {
      const topic = ["--topic", "zipped"];
      const broker = await BrokerCommand.start(
        [command, "--in-memory", "--port", "0", ...topic],
        folder,
        onNode(),
      );
      const lines = join(outside.path, "lines");
      writeFileSync(lines, "the same words\n".repeat(1_000));
      const args = ["-b", broker.address, "-P", "-t", "zipped", "-z", "zstd", "-l", lines];
      const { exitCode, stderr } = await runToEnd([kcat ?? "", ...args], { cwd: folder, env: onNode() });
      expect(await broker.stop()).toBe(0);
      if (nodeHasZstd) expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      else expect(stderr).toContain("Unsupported compression type");
    },
    LIMIT_MS,
  );

  test.skipIf(!nodeHasSqlite)(
    "keeps what it acknowledged when it is killed, and no broker on Bun takes its directory meanwhile",
    async () => {
      const cwd = outside.folder("on-disk");
      const start = () => BrokerCommand.start([command, "--port", "0"], cwd, onNode());
      const first = await start();
      expect(await roundTrip(first.address)).toBe("hello");
      const onBoth = runToEnd([command, "--port", "0"], { cwd, env: onBun() });
      expect(await onBoth).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining("in use by another broker"),
      });
      await first.stop("SIGKILL");
      const second = await start();
      const [record] = await new Records(second.address).read("greetings");
      expect(record?.value?.toString()).toBe("hello");
      expect(await second.stop()).toBe(0);
    },
    LIMIT_MS,
  );

  test.skipIf(nodeHasSqlite)(
    "refuses a data directory before Node 22.13, and makes none",
    async () => {
      const cwd = outside.folder("no-sqlite");
      const { exitCode, stderr } = await runToEnd([command, "--port", "0"], { cwd, env: onNode() });
      expect({ exitCode, stderr }).toEqual({
        exitCode: 1,
        stderr:
          "broker: the data directory cannot be used: it needs Bun, or Node 22.13 or later; a broker in memory runs on this version too\n",
      });
      expect(readdirSync(cwd)).toEqual([]);
    },
    LIMIT_MS,
  );
});

test.skipIf(!isSlow)(
  "the executable alone, in an empty folder, serves clients; it has about the size that the README says",
  async () => {
    const [build = ""] = /`bun build --compile [^`]+`/.exec(readme) ?? [];
    const [, entry = "", name = ""] = /--compile (\S+) --outfile (\S+)`/.exec(build) ?? [];
    const built = join(outside.folder("built"), name);
    await outside.run(
      [process.execPath, "build", "--compile", join(ROOT, entry), "--outfile", built],
      outside.path,
    );
    const cwd = outside.folder("empty");
    mkdirSync(cwd, { recursive: true });
    const executable = join(cwd, basename(built));
    copyFileSync(built, executable);
    const broker = await BrokerCommand.start([executable, "--port", "0", "--data-dir", "data"], cwd, {
      PATH: "",
    });
    expect(await roundTrip(broker.address)).toBe("hello");
    await broker.stop("SIGKILL");
    const again = await BrokerCommand.start([executable, "--port", "0", "--data-dir", "data"], cwd, {
      PATH: "",
    });
    const [record] = await new Records(again.address).read("greetings");
    expect(record?.value?.toString()).toBe("hello");
    expect(await again.stop()).toBe(0);
    expect(readdirSync(cwd).sort()).toEqual(["data", name]);
    const [, megabytes] = /executable of about (\d+) MB/.exec(readme) ?? [];
    expect(Math.abs(statSync(executable).size / 1e6 - Number(megabytes))).toBeLessThan(20);
  },
  LIMIT_MS,
);
