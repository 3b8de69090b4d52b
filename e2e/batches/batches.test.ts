import { test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { compareAnswers } from "./batches.ts";

test("the embedded broker answers to each batch as the table says", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "batches-"));
  const broker = await startBroker({ dataDir, host: "127.0.0.1", port: 0 });
  try {
    await compareAnswers(broker.port, "embedded");
  } finally {
    await broker.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
