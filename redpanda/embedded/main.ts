/**
 * The broker as a process: settings from arguments and the environment (`settings.ts`), one log line when it listens, a
 * clean stop on SIGTERM and SIGINT.
 */
import { formatAddress } from "./address.ts";
import { readArguments, USAGE } from "./arguments.ts";
import { startBroker } from "./broker.ts";
import { createLogger, messageOf } from "./logger.ts";
import { version } from "./package.json";
import { readSettings, SettingsError } from "./settings.ts";

// The reader of the log may have exited; the broker keeps running.
process.stdout.on("error", () => {});

// Its files have the data of customers: they are readable by their owner only.
process.umask(0o077);

const args = readArguments(process.argv.slice(2));
if (args.given.has("help")) {
  process.stdout.write(USAGE);
} else if (args.given.has("version")) {
  process.stdout.write(`${version}\n`);
} else {
  await run().catch((error: unknown) => {
    for (const line of messageOf(error).split("\n")) process.stderr.write(`broker: ${line}\n`);
    process.exit(error instanceof SettingsError && error.inArguments ? 2 : 1);
  });
}

async function run(): Promise<void> {
  const settings = readSettings(process.env, args);
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
  logger.info("listening", {
    ...broker.listening,
    advertised: formatAddress(broker),
    storage: settings.dataDir ?? "memory",
    pid: process.pid,
  });
}
