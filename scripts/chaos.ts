import { Disks } from "@distributed-messaging/e2e/chaos/disks";
import { Faults, RECOVERY_LIMIT_MS } from "@distributed-messaging/e2e/chaos/faults";
import { Load } from "@distributed-messaging/e2e/chaos/load";
import { verdict } from "@distributed-messaging/e2e/chaos/verdict";
import { Prng } from "@distributed-messaging/e2e/simulation/prng";
import { OwnStore } from "@distributed-messaging/e2e/support/own-store";
import { startApacheKafkaCluster } from "@distributed-messaging/redpanda/apache-kafka/cluster";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { parseOptions, positiveNumber, runCommand, wholeNumber } from "./command/command.ts";
import { Progress } from "./command/progress.ts";

const USAGE = `usage: bun run chaos [options]

Runs a store under load while its processes are killed, paused for longer than their sessions last, and stopped, at
random, up to two at a time. Then starts every process and checks the promises.

With several instances of a service, one at a time is hit. It may also be destroyed: it is killed, and its database deleted. It
may be removed, until it is added again; one more than there were may be added, with an empty database. At the end all instances of a
service have the same rows and show the same. An order that only a gateway's disk had, as its answer said, may be missing if that disk was
deleted later: such orders are counted.

  --minutes N   how long (5)
  --rate N      orders a second, as far as the store takes them (as many as six customers place one after the other)
  --replicas N  instances of each service that may have several (one that is not replicated)
  --kafka N     so many nodes of Apache Kafka, one of which is killed at a time, in place of the embedded broker
  --seed S      selects the faults, their victims and their times (random)`;

interface Options {
  readonly minutes: number;
  readonly rate: number | undefined;
  readonly seed: number;
  readonly replicas: number | undefined;
  readonly kafkaNodes: number;
}

/** @throws UsageError */
function readOptions(args: readonly string[]): Options {
  const { values } = parseOptions(args, {
    minutes: { type: "string" },
    rate: { type: "string" },
    seed: { type: "string" },
    replicas: { type: "string" },
    kafka: { type: "string" },
  });
  return {
    minutes: positiveNumber("--minutes", values.minutes ?? "5"),
    rate: values.rate === undefined ? undefined : positiveNumber("--rate", values.rate),
    seed: wholeNumber("--seed", values.seed ?? String(Date.now() % 1e6)),
    replicas: values.replicas === undefined ? undefined : wholeNumber("--replicas", values.replicas, 1),
    kafkaNodes: wholeNumber("--kafka", values.kafka ?? "0", 0),
  };
}

const progress = new Progress();
const say = (line: string) => {
  progress.clear();
  process.stdout.write(`${line}\n`);
};

const PROGRESS_EVERY_MS = 1_000;

/** Shows meanwhile how far it is. */
async function withProgress(limitMs: number, load: Load, work: Promise<unknown>): Promise<void> {
  const startedMs = performance.now();
  const timer = setInterval(() => {
    progress.show(`${load.accepted.size} orders accepted`, performance.now() - startedMs, limitMs);
  }, PROGRESS_EVERY_MS);
  await work.finally(() => clearInterval(timer));
  progress.clear();
}

async function startKafka(count: number) {
  const free = freePorts(2 * count);
  const ports = Array.from({ length: count }, (_, index) => ({
    broker: free[2 * index] ?? 0,
    controller: free[2 * index + 1] ?? 0,
  }));
  say(`starting ${count} nodes of Apache Kafka`);
  return startApacheKafkaCluster({ ports, report: say });
}

async function main(args: readonly string[]): Promise<number> {
  const { minutes, rate, seed, replicas, kafkaNodes } = readOptions(args);
  const prng = new Prng(String(seed));
  const kafka = kafkaNodes === 0 ? undefined : await startKafka(kafkaNodes);
  const store = new OwnStore({
    env: { LOG_LEVEL: "warn", MAX_WAITING_ORDERS: "1000000" },
    ...(kafka === undefined ? {} : { brokers: kafka.address }),
    ...(replicas === undefined ? {} : { replicas }),
    timings: { readyTimeoutMs: RECOVERY_LIMIT_MS },
  });
  let failures: readonly string[] = [];
  try {
    say(`chaos: ${minutes} minutes, seed ${seed}`);
    await store.startAll();
    await store.seed();
    const disks = new Disks();
    const load = await Load.start(store, disks, prng.fork("load"), rate);
    const brokers = (kafka?.nodes ?? []).map((node, index) => ({
      name: `kafka-${index + 1}`,
      kill: () => node.kill(),
      restart: () => node.restart(),
    }));
    const faults = new Faults({ store, disks, prng: prng.fork("faults"), log: say, brokers, replicas });
    const limitMs = minutes * 60_000;
    await withProgress(limitMs, load, faults.injectFor(limitMs));
    await load.stop();
    say(`${load.accepted.size} orders were accepted; ${faults.summary()}`);
    const { violations, lost } = await verdict(store, load);
    const unreplicated = [...load.accepted.values()].filter(({ isReplicated }) => !isReplicated).length;
    if (replicas !== undefined)
      say(`${unreplicated} of them were on the disk of a gateway only when it answered`);
    if (lost.length > 0)
      say(`${lost.length} of these were lost with it when it was destroyed: ${lost.join(", ")}`);
    failures = violations;
  } catch (error) {
    failures = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    say(`aborted: ${failures[0]}`);
  } finally {
    await store.dispose();
    await kafka?.stop();
  }
  for (const failure of failures) say(`VIOLATED: ${failure}`);
  const atRate = rate === undefined ? "" : ` --rate ${rate}`;
  const several = replicas === undefined ? "" : ` --replicas ${replicas}`;
  const nodes = kafka === undefined ? "" : ` --kafka ${kafkaNodes}`;
  const again = `repeat with: bun run chaos --minutes ${minutes}${atRate}${several}${nodes} --seed ${seed}`;
  say(failures.length === 0 ? "every promise held" : again);
  return failures.length === 0 ? 0 : 1;
}

await runCommand("chaos", USAGE, main);
