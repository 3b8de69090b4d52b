import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { type BrokerUnderTest, kafkaBroker } from "@distributed-messaging/messaging/conformance";

const TEMPORARY = fileURLToPath(new URL("../../.tools/tmp", import.meta.url));

export interface EmbeddedBrokerUnderTest extends BrokerUnderTest {
  readonly address: string;
  /** The running one; another one after each outage. */
  readonly broker: Broker;
}

/** The embedded broker on a free port, with a folder of its own. */
export async function embeddedBroker(): Promise<EmbeddedBrokerUnderTest> {
  mkdirSync(TEMPORARY, { recursive: true });
  const dataDir = mkdtempSync(join(TEMPORARY, "conformance-"));
  const host = "127.0.0.1";
  // Some tests store batches that a broker which validates them refuses.
  const start = (port: number) => startBroker({ dataDir, host, port, validateRecords: false });
  let broker = await start(0);
  const { port } = broker;
  const address = `${host}:${port}`;
  const control = {
    stop: async () => {
      await broker.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
    outage: {
      begin: () => broker.stop(),
      end: async ({ keepData }: { readonly keepData: boolean }) => {
        if (!keepData) rmSync(dataDir, { recursive: true, force: true });
        broker = await start(port);
      },
    },
  };
  return {
    ...kafkaBroker([address], control, { isApacheKafka: false }),
    address,
    get broker() {
      return broker;
    },
  };
}
