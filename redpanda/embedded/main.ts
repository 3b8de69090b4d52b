#!/usr/bin/env bun
/**
 * The broker as a process: settings from the environment (`settings.ts`), one log line when it listens, a clean stop on
 * SIGTERM and SIGINT.
 */
import { startBroker } from "./broker.ts";
import { createLogger, messageOf } from "./logger.ts";
import { readSettings } from "./settings.ts";

// The reader of the log may have exited; the broker keeps running.
process.stdout.on("error", () => {});

// Its files have the data of customers: they are readable by their owner only.
process.umask(0o077);

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
