import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Kafka } from "kafkajs";
import { Records } from "../support/records.ts";

const PACKAGE = join(ROOT, "redpanda/embedded");
const LIMIT_MS = 60_000;

/** An empty folder outside the repository, in which the packed package is installed. */
const folder = mkdtempSync(join(tmpdir(), "embedded-broker-"));
const env = {
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  HOME: folder,
  BUN_INSTALL_CACHE_DIR: join(folder, "cache"),
};

async function run(
  cwd: string,
  command: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...env, ...settings },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${errors}${output}`);
  return output;
}

beforeAll(async () => {
  await run(PACKAGE, [process.execPath, "pm", "pack", "--destination", folder]);
  const [tarball = ""] = new Bun.Glob("*.tgz").scanSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", type: "module" }));
  await run(folder, [process.execPath, "add", `./${tarball}`]);
}, LIMIT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the package has its documents and no tests", () => {
  const files = [
    ...new Bun.Glob("**/*").scanSync(join(folder, "node_modules/@distributed-messaging/embedded-broker")),
  ];
  expect(files).toEqual(
    expect.arrayContaining(["README.md", "LICENSE", "UNSUPPORTED.md", "index.ts", "main.ts"]),
  );
  expect(files.filter((path) => /\.test\.ts$|^testing\/|^node_modules\//.test(path))).toEqual([]);
});

test(
  "a program embeds the broker, and its types are strict",
  async () => {
    const program = `
      import { ApiKey, type Broker, ErrorCode, startBroker } from "@distributed-messaging/embedded-broker";
      const broker: Broker = await startBroker({ dataDir: "data", port: 0 });
      broker.control.on(ApiKey.Fetch, { fault: "fail", code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
      const topic = await broker.topics.create("greetings", 3, {});
      console.log(broker.port > 0, topic.partitions.length);
      await broker.stop();
    `;
    writeFileSync(join(folder, "program.ts"), program);
    const compilerOptions = {
      target: "ESNext",
      module: "Preserve",
      strict: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      allowImportingTsExtensions: true,
      noEmit: true,
      types: [join(ROOT, "node_modules/@types/bun")],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
    await run(folder, [process.execPath, join(ROOT, "node_modules/typescript/bin/tsc")]);
    expect(await run(folder, [process.execPath, "program.ts"])).toBe("true 3\n");
  },
  LIMIT_MS,
);

test(
  "the command runs a broker on BROKER_PORT, and bunx finds it",
  async () => {
    const [port = 0] = freePorts(1);
    const broker = Bun.spawn([join(folder, "node_modules/.bin/embedded-broker")], {
      cwd: folder,
      env: { ...env, BROKER_PORT: String(port) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
    });
    try {
      const records = new Records(`localhost:${port}`);
      await eventually(() => records.topics(), "the broker to answer");
      const admin = new Kafka({ brokers: [`localhost:${port}`] }).admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: "greetings" }] });
      await admin.disconnect();
      await records.write([{ topic: "greetings", key: Buffer.from("a"), value: Buffer.from("hello") }]);
      const [record] = await records.read("greetings");
      expect(record?.value?.toString()).toBe("hello");
      const taken = run(folder, [process.execPath, "x", "embedded-broker"], { BROKER_PORT: String(port) });
      await expect(taken).rejects.toThrow("the data directory cannot be used");
    } finally {
      broker.kill("SIGTERM");
      expect(await broker.exited).toBe(0);
    }
  },
  LIMIT_MS,
);
