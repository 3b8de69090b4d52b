/**
 * What tests make and what has to be gone after each: directories, brokers, connections. Each file that uses this says
 * `afterEach(cleanAll)`: a hook that is set here would be that of the first file only.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, type BrokerOptions, startBroker } from "../broker.ts";

const cleanups: (() => unknown)[] = [];

/** Last made, first cleaned: clients before their broker, the broker before its directory. */
export async function cleanAll(): Promise<void> {
  for (let clean = cleanups.pop(); clean; clean = cleanups.pop()) await clean();
}

/** Runs after the test, also when it fails. */
export function cleanUp(clean: () => unknown): void {
  cleanups.push(clean);
}

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "broker-"));
  cleanUp(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A broker on a free port; in a directory of its own unless one is given. */
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
