import { test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { fuzz, LIMIT_MS, recordCountOf } from "./fuzz.ts";

const recordCount = recordCountOf(process.env.SLOW_TESTS === "true" ? 100_000 : 3_000);

test(
  `${recordCount} records of other producers: each is handled, skipped or parked once, and no service stops`,
  () =>
    fuzz(async () => {
      const folder = join(ROOT, ".tools/tmp");
      mkdirSync(folder, { recursive: true });
      const dataDir = mkdtempSync(join(folder, "fuzz-"));
      const broker = await startBroker({ dataDir, host: "127.0.0.1", port: 0, validateRecords: false });
      return {
        port: broker.port,
        validates: false,
        [Symbol.asyncDispose]: async () => {
          await broker.stop();
          rmSync(dataDir, { recursive: true, force: true });
        },
      };
    }, recordCount),
  LIMIT_MS,
);
