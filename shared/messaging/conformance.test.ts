import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startBroker } from "../../redpanda/embedded/index.ts";
import { type BrokerUnderTest, transportConformance } from "./conformance.ts";
import { kafkaBroker } from "./conformance-kafka.ts";
import { memoryBroker } from "./conformance-memory.ts";

transportConformance("in memory", memoryBroker, { isServer: false, goesAway: false });
transportConformance("the embedded broker", embeddedBroker);

async function embeddedBroker(): Promise<BrokerUnderTest> {
  const temporary = fileURLToPath(new URL("../../.tools/tmp", import.meta.url));
  mkdirSync(temporary, { recursive: true });
  const dataDir = mkdtempSync(join(temporary, "conformance-"));
  const host = "127.0.0.1";
  let broker = await startBroker({ dataDir, host, port: 0 });
  const { port } = broker;
  return kafkaBroker([`${host}:${port}`], {
    stop: async () => {
      await broker.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
    outage: {
      begin: () => broker.stop(),
      end: async ({ keepData }) => {
        if (!keepData) rmSync(dataDir, { recursive: true, force: true });
        broker = await startBroker({ dataDir, host, port });
      },
    },
  });
}
