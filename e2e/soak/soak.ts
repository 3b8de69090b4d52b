import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { ClientMissing } from "../clients/toolchains.ts";
import { brokerProcess } from "../support/broker-process.ts";
import { type RunningClient, startIntruders, startKafkajs, startLibrdkafka } from "./clients.ts";

interface SoakOptions {
  readonly minutes: number;
  /** Records a second, of each kind of client. */
  readonly rate: number;
  readonly report: (line: string) => void;
}

/** What the broker uses at one time. */
interface Sample {
  readonly memoryMiB: number;
  /** Open file descriptors, sockets included. */
  readonly files: number;
  readonly diskMiB: number;
}

const TOPIC = "soak";
const SAMPLES = 120;
/** Reported figures in a run. */
const PARTS = 12;
/** What memory may grow from the second quarter to the last one: the heap of a short run is still growing to its size. */
const MEMORY_SLACK_MIB = 48;
const MEMORY_FACTOR = 1.15;
const FILES_SLACK = 16;
const DISK_SLACK_MIB = 64;

/**
 * Runs the embedded broker as a process under a steady load of different clients.
 *
 * @returns what was wrong: memory, files or disk that grow, or clients that failed
 */
export async function soak({ minutes, rate, report }: SoakOptions): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "soak-"));
  const { broker, brokers } = brokerProcess(folder, report);
  const clients: RunningClient[] = [];
  try {
    await broker.start();
    await createTopic(brokers);
    const target = { brokers, topic: TOPIC, rate };
    clients.push(await startKafkajs(target), startIntruders(target));
    try {
      clients.push(await startLibrdkafka(target));
    } catch (error) {
      if (!(error instanceof ClientMissing)) throw error;
      report(`left out: librdkafka (${error.message})`);
    }
    const samples = await sampleFor(minutes * 60_000, () => sampleOf(broker.pid ?? 0, folder), report);
    const failures = [...growth(samples), ...stalled(clients)];
    for (const client of clients.splice(0)) {
      await client.stop();
      const { produced, consumed, errors, lastError } = client.counts;
      report(`${client.name}: ${produced} sent, ${consumed} consumed, ${errors} errors`);
      if (errors > 0) failures.push(`${client.name} had ${errors} errors, the last: ${lastError}`);
    }
    if (broker.restarts > 0) failures.push(`the broker ended ${broker.restarts} times`);
    return failures;
  } finally {
    for (const client of clients) await client.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Retention keeps it small, so that the disk is flat too. */
async function createTopic(brokers: string): Promise<void> {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const configs = { "segment.bytes": 1024 * 1024, "retention.bytes": 4 * 1024 * 1024 };
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value: String(value) }));
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 6, configEntries }] });
  await admin.disconnect();
}

async function sampleFor(
  durationMs: number,
  take: () => Sample,
  report: (line: string) => void,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let number = 1; number <= SAMPLES; number++) {
    await Bun.sleep(durationMs / SAMPLES);
    samples.push(take());
    if (number % (SAMPLES / PARTS) !== 0) continue;
    const { memoryMiB, files, diskMiB } = medians(samples.slice(-SAMPLES / PARTS));
    const minutes = ((durationMs * number) / SAMPLES / 60_000).toFixed(1);
    report(`${minutes} min: ${memoryMiB} MiB memory, ${files} files, ${diskMiB} MiB disk`);
  }
  return samples;
}

/** Whether this machine tells the files of a process: Linux. */
const hasProc = existsSync("/proc/self/fd");

function sampleOf(pid: number, folder: string): Sample {
  const { stdout } = Bun.spawnSync(["ps", "-o", "rss=", "-p", String(pid)]);
  return {
    memoryMiB: Math.round(Number(stdout.toString()) / 1024),
    files: hasProc ? readdirSync(`/proc/${pid}/fd`).length : 0,
    diskMiB: Math.round(bytesIn(folder) / 1024 / 1024),
  };
}

/** Files may vanish meanwhile. */
function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => statSync(join(folder, path), { throwIfNoEntry: false }))
    .reduce((sum, stats) => sum + (stats?.isFile() ? stats.size : 0), 0);
}

/** Compares the second quarter with the last. */
function growth(samples: readonly Sample[]): string[] {
  const quarter = samples.length / 4;
  const before = medians(samples.slice(quarter, 2 * quarter));
  const after = medians(samples.slice(-quarter));
  const failures: string[] = [];
  const compare = (what: string, from: number, to: number, most: number) => {
    if (to > most) failures.push(`${what} grew from ${from} to ${to}`);
  };
  const most = before.memoryMiB * MEMORY_FACTOR + MEMORY_SLACK_MIB;
  compare("memory (MiB)", before.memoryMiB, after.memoryMiB, most);
  compare("open files", before.files, after.files, before.files + FILES_SLACK);
  compare("disk (MiB)", before.diskMiB, after.diskMiB, before.diskMiB + DISK_SLACK_MIB);
  return failures;
}

function stalled(clients: readonly RunningClient[]): string[] {
  return clients.filter(({ counts }) => counts.produced === 0).map(({ name }) => `${name} sent nothing`);
}

function medians(samples: readonly Sample[]): Sample {
  const median = (of: (sample: Sample) => number) =>
    samples.map(of).sort((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0;
  return {
    memoryMiB: median(({ memoryMiB }) => memoryMiB),
    files: median(({ files }) => files),
    diskMiB: median(({ diskMiB }) => diskMiB),
  };
}
