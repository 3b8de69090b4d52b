import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Kafka } from "kafkajs";
import { Records } from "../support/records.ts";
import { OutsideFolder } from "./installed.ts";

const LIMIT_MS = 60_000;
const outside = new OutsideFolder();
const folder = outside.folder("user");

beforeAll(async () => {
  const tarball = await outside.pack("embedded-broker");
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", type: "module" }));
  await outside.run([process.execPath, "add", `../${tarball}`], folder);
}, LIMIT_MS);
afterAll(() => outside.remove());

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
    await outside.run([process.execPath, join(ROOT, "node_modules/typescript/bin/tsc")], folder);
    expect(await outside.run([process.execPath, "program.ts"], folder)).toBe("true 3\n");
  },
  LIMIT_MS,
);

test(
  "the command runs a broker on BROKER_PORT, and bunx finds it",
  async () => {
    const [port = 0] = freePorts(1);
    const broker = Bun.spawn([join(folder, "node_modules/.bin/embedded-broker")], {
      cwd: folder,
      env: outside.env({ BROKER_PORT: String(port) }),
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
      const command = [process.execPath, "x", "embedded-broker"];
      const taken = outside.run(command, folder, { BROKER_PORT: String(port) });
      await expect(taken).rejects.toThrow("the data directory cannot be used");
    } finally {
      broker.kill("SIGTERM");
      expect(await broker.exited).toBe(0);
    }
  },
  LIMIT_MS,
);
