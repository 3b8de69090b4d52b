/**
 * Directories, brokers and connections that are released after each test. Each test file calls `afterEach(cleanAll)`
 * itself, because a hook set here would apply to the first file only.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, type BrokerOptions, startBroker } from "../broker.ts";

const cleanups: (() => unknown)[] = [];

/** In reverse order: clients before their broker, the broker before its directory. One that fails keeps none from running. */
export async function cleanAll(): Promise<void> {
  const failures: unknown[] = [];
  for (let clean = cleanups.pop(); clean; clean = cleanups.pop()) {
    await Promise.resolve()
      .then(clean)
      .catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

/** Registers a function to run after the test, also when it fails. */
export function cleanUp(clean: () => unknown): void {
  cleanups.push(clean);
}

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "broker-"));
  cleanUp(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A broker on a free port, by default in a temporary directory. */
export async function temporaryBroker(options: Partial<BrokerOptions> = {}): Promise<Broker> {
  const dataDir = options.dataDir ?? (await temporaryDirectory());
  const broker = await startBroker({
    port: 0,
    initialRebalanceDelayMs: 0,
    minSessionTimeoutMs: 1,
    ...options,
    dataDir,
  });
  cleanUp(() => broker.stop());
  return broker;
}
