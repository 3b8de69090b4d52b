import { rmSync } from "node:fs";
import { join } from "node:path";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import {
  ApacheKafkaMissing,
  KAFKA_DIR,
  provideApacheKafka,
} from "@distributed-messaging/redpanda/apache-kafka/jars";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { runCommand } from "./command/command.ts";

/**
 * `bun run test-apache-kafka`: the transport's conformance suite, then a whole store and its end-to-end tests, on a
 * real Apache Kafka with its default settings. Where Java or Maven is missing it says so in one line and skips all
 * of it with exit code 0. Otherwise the exit code is 1 if anything failed.
 */

const say = (line: string) => void process.stderr.write(`test-apache-kafka: ${line}\n`);

/** The conformance tests have limits of their own, which are shorter. */
const TEST_TIMEOUT_MS = 120_000;

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
  const store = new Supervisor({ dataDir, env, brokers: kafka.brokers.join(",") });
  try {
    await store.startAll();
    const ports = serviceNames.map((name) => [services[name].setting, String(store.ports[name])]);
    return await run(["scripts/test.ts", "--running", "e2e"], {
      KAFKA_BROKERS: store.brokers,
      ...Object.fromEntries(ports),
    });
  } finally {
    await store.stopAll();
    await kafka.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

await runCommand("test-apache-kafka", async () => {
  try {
    await provideApacheKafka(say);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    say(`skipped the tests on Apache Kafka: ${error.message}`);
    return 0;
  }
  say("conformance suite");
  const conforms = await run(["test", `--timeout=${TEST_TIMEOUT_MS}`, "./e2e/conformance/apache-kafka.ts"]);
  say("end-to-end tests");
  const works = await endToEnd();
  return conforms && works ? 0 : 1;
});
