import { join } from "node:path";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { defaultTimings, ManagedProcess } from "@distributed-messaging/supervisor/process";
import { ROOT } from "@distributed-messaging/supervisor/store";

/**
 * The embedded broker as a process on a free port, not started yet. However often it is killed, it starts again without
 * a longer pause each time.
 *
 * @param report called with each line that it prints
 */
export function brokerProcess(dataDir: string, report: (line: string) => void) {
  const [port = 0] = freePorts(1);
  const brokers = `127.0.0.1:${port}`;
  const broker = new ManagedProcess(
    {
      name: "broker",
      entry: join(ROOT, "redpanda/embedded/main.ts"),
      env: { KAFKA_BROKERS: brokers, DATA_DIR: dataDir, LOG_LEVEL: "error" },
      ready: { kind: "port", host: "127.0.0.1", port },
    },
    { ...defaultTimings, maxBackoffMs: defaultTimings.backoffMs },
    ({ source, line }) => {
      if (source !== "supervisor") report(`broker: ${line}`);
    },
  );
  return { broker, brokers };
}
