import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RawProducer, recordBatch, recordBytes } from "@distributed-messaging/e2e/fuzz/raw-producer";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { defaultTimings, ManagedProcess } from "@distributed-messaging/supervisor/process";
import { ROOT } from "@distributed-messaging/supervisor/store";

interface StartUp {
  /** From the start of the process to its first connection, in milliseconds. */
  readonly afterCleanStop: number;
  readonly afterKill: number;
}

const RECORDS_A_BATCH = 1_000;
const CONNECTIONS = 10;
const HOST = "127.0.0.1";

/** An embedded broker as a process, with a data directory of its own. */
export function embeddedProcess(port: number, report: (line: string) => void) {
  const folder = mkdtempSync(join(tmpdir(), "bench-broker-"));
  const process = new ManagedProcess(
    {
      name: "broker",
      entry: join(ROOT, "redpanda/embedded/main.ts"),
      env: { KAFKA_BROKERS: `${HOST}:${port}`, DATA_DIR: folder, LOG_LEVEL: "error" },
      ready: { kind: "port", host: HOST, port },
    },
    defaultTimings,
    ({ source, line }) => {
      if (source !== "supervisor") report(line);
    },
  );
  const dispose = async () => {
    await process.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { process, dispose };
}

/** @param createTopic creates a topic of this name with so many partitions on the broker at this port */
export async function measureStartUp(
  records: number,
  createTopic: (port: number, topic: string, partitions: number) => Promise<void>,
  report: (line: string) => void,
): Promise<StartUp> {
  const [port = 0] = freePorts(1);
  const { process, dispose } = embeddedProcess(port, report);
  try {
    await process.start();
    await createTopic(port, "start-up", CONNECTIONS);
    await fill(port, "start-up", records);
    await process.stop();
    const startedAt = performance.now();
    await process.start();
    const afterCleanStop = performance.now() - startedAt;
    // Resolves when it has ended; it starts again after a pause, which does not count.
    await process.kill();
    await process.stop();
    const restartedAt = performance.now();
    await process.start();
    return { afterCleanStop, afterKill: performance.now() - restartedAt };
  } finally {
    await dispose();
  }
}

async function fill(port: number, topic: string, records: number): Promise<void> {
  const record = { key: null, value: Buffer.from("x".repeat(100)), headers: [] };
  const batch = recordBatch(
    0,
    RECORDS_A_BATCH,
    recordBytes(Array.from({ length: RECORDS_A_BATCH }, () => record)),
  );
  let left = Math.ceil(records / RECORDS_A_BATCH);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, partition) => {
      const producer = await RawProducer.connect(port);
      while (left-- > 0) await producer.produce(topic, new Map([[partition, batch]]));
      producer.close();
    }),
  );
}
