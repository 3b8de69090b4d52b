/** The broker as a process: settings from the environment, one line when it listens, a clean end on a signal. */
import { startBroker } from "./broker.ts";
import { createLogger, messageOf } from "./logger.ts";
import { readSettings } from "./settings.ts";

// Whoever read the log may be gone; a broker does not stop for that.
process.stdout.on("error", () => {});

try {
  const settings = readSettings(process.env);
  const logger = createLogger(settings.logLevel);
  const broker = await startBroker({ ...settings, logger });
  const stop = async (signal: string) => {
    logger.info("stopping", { signal });
    await broker.stop();
    logger.info("stopped");
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  logger.info("listening", { host: broker.host, port: broker.port, pid: process.pid });
} catch (error) {
  process.stderr.write(`broker: ${messageOf(error)}\n`);
  process.exit(1);
}
