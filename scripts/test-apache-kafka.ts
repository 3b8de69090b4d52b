import { rmSync } from "node:fs";
import { join } from "node:path";
import { hasOpenssl } from "@distributed-messaging/e2e/support/certificates";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import {
  ApacheKafkaMissing,
  KAFKA_DIR,
  provideApacheKafka,
} from "@distributed-messaging/redpanda/apache-kafka/jars";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { parseOptions, runCommand } from "./command/command.ts";

const USAGE = `usage: bun run test-apache-kafka

Runs on a real Apache Kafka: the transport's conformance suite, the store with access control, with TLS and with every
SASL mechanism, records of any content of other producers, damaged and strange batches, requests of administrators,
transactions, then the end-to-end tests of a store; Kafka Streams with exactly-once on the embedded broker; snapshots in a
server with the API of S3; and the model of the replication in TLC. Without
Java or Maven it skips all, with exit code 0; without openssl, those with TLS.`;

const say = (line: string) => void process.stderr.write(`test-apache-kafka: ${line}\n`);

/** The conformance tests have limits of their own, which are shorter. */
const TEST_TIMEOUT_MS = 120_000;

const SUITES = [
  ["conformance suite", "./e2e/conformance/apache-kafka.ts"],
  ["access control", "./e2e/access-control/apache-kafka.ts"],
  ["fuzz", "./e2e/fuzz/apache-kafka.ts"],
  ["damaged and strange batches", "./e2e/batches/apache-kafka.ts"],
  ["administration", "./e2e/admin/apache-kafka.ts"],
  ["transactions", "./e2e/transactions/apache-kafka.ts"],
  ["Kafka Streams on the embedded broker", "./e2e/streams/kafka-streams.ts"],
  ["snapshots in S3", "./e2e/s3/snapshots.ts"],
  ["model of the replication", "./e2e/model/replication.ts"],
] as const;
const TLS_SUITE = ["TLS and SASL", "./e2e/access-control/tls-and-sasl.ts"] as const;

/** Runs Bun in the root of the project. @returns whether it succeeded */
async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const child = Bun.spawn([process.execPath, ...args], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env: { ...process.env, ...env },
  });
  return (await child.exited) === 0;
}

/** Runs the end-to-end tests that work on any running store, on a store whose broker is Apache Kafka. */
async function endToEnd(): Promise<boolean> {
  const [broker = 0, controller = 0] = freePorts(2);
  const kafka = await startApacheKafka({ ports: { broker, controller }, report: say });
  const dataDir = join(KAFKA_DIR, `store-${crypto.randomUUID()}`);
  const env = { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true" };
  const store = new StoreSupervisor({ dataDir, env, brokers: kafka.brokers.join(",") });
  try {
    await store.startAll();
    const ports = serviceNames.map((name) => [services[name].setting, String(store.ports[name])]);
    return await run(["scripts/test.ts", "--running", "e2e/interfaces", "e2e/promises"], {
      KAFKA_BROKERS: store.brokers,
      ...Object.fromEntries(ports),
    });
  } finally {
    await store.stopAll();
    await kafka.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

await runCommand("test-apache-kafka", USAGE, async (args) => {
  parseOptions(args, {});
  try {
    await provideApacheKafka(say);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    say(`skipped the tests on Apache Kafka: ${error.message}`);
    return 0;
  }
  const passed: boolean[] = [];
  if (!hasOpenssl) say("skipped the tests with TLS: openssl is not installed");
  for (const [title, file] of hasOpenssl ? [...SUITES, TLS_SUITE] : SUITES) {
    say(title);
    passed.push(await run(["test", `--timeout=${TEST_TIMEOUT_MS}`, file]));
  }
  say("end-to-end tests");
  passed.push(await endToEnd());
  return passed.every(Boolean) ? 0 : 1;
});
