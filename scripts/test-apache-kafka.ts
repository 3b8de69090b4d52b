import { rmSync } from "node:fs";
import { join } from "node:path";
import { KAFKA_DIR } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { ROOT, serviceNames, services } from "@distributed-messaging/supervisor/store";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { ApacheKafkaMissing, provideApacheKafka, startApacheKafka } from "./start-apache-kafka.ts";

/**
 * `bun run test-apache-kafka`: proves that nothing depends on the embedded broker. The transport's promises, then a
 * whole store and its end-to-end tests, on a real Apache Kafka with its own defaults. Where Java or Maven is missing
 * it says so in one line and leaves all of it out, exit code 0. Otherwise 1 if anything failed.
 */

const say = (line: string) => void process.stderr.write(`test-apache-kafka: ${line}\n`);

/** Generous: the conformance tests bound themselves, and each says so. */
const TEST_TIMEOUT_MS = 120_000;

/** Runs Bun on something of the project. @returns whether it succeeded */
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

/** The end-to-end tests that work on any store that runs, on one whose broker is Apache Kafka. */
async function endToEnd(): Promise<boolean> {
  const kafka = await startApacheKafka({}, say);
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

async function main(): Promise<number> {
  try {
    await provideApacheKafka(say);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    say(`left out the tests on Apache Kafka: ${error.message}`);
    return 0;
  }
  say("the transport's promises");
  const conforms = await run(["test", `--timeout=${TEST_TIMEOUT_MS}`, "./e2e/conformance/apache-kafka.ts"]);
  say("the end-to-end tests");
  const works = await endToEnd();
  return conforms && works ? 0 : 1;
}

process.exit(await main());
