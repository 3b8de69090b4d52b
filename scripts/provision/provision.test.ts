import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { changeLogTopics, storeTopics } from "@distributed-messaging/services/registry";
import { StoreSettings } from "../testing/store-process.ts";

slowTest(
  "creates the topics of the contracts, then finds them up to date; a wrong setting is one line",
  async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "provision-"));
    const broker = await startBroker({ dataDir, host: "127.0.0.1", port: 0 });
    const settings = new StoreSettings({ KAFKA_BROKERS: `127.0.0.1:${broker.port}` });
    try {
      const created = [...storeTopics, ...changeLogTopics].map(({ name }) => `created ${name}\n`).join("");
      expect(await settings.run("provision.ts")).toEqual({ exitCode: 0, stdout: created, stderr: "" });
      expect((await settings.run("provision.ts")).stdout).toBe("every topic is up to date\n");
      expect(await settings.run("provision.ts", [], { TOPIC_REPLICATION: "many" })).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/^provision: TOPIC_REPLICATION: expected an integer .*\n$/),
      });
    } finally {
      settings.remove();
      await broker.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
);
