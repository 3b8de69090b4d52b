import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MatrixClient, matrixClients } from "@distributed-messaging/e2e/clients/clients";
import { problemsOf } from "@distributed-messaging/e2e/clients/compare";
import { apisOf, type Run, runClients } from "@distributed-messaging/e2e/clients/run";
import type { ClientUnderTest } from "@distributed-messaging/e2e/clients/script";
import { rowsInReadme, tableOf, writeTable } from "@distributed-messaging/e2e/clients/table";
import { ClientMissing } from "@distributed-messaging/e2e/clients/toolchains";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { ApacheKafkaMissing, provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { parseOptions, runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run test-kafka-clients [-- --write] [CLIENT…]

Runs one script with the Kafka clients of several languages on the embedded broker and on a real Apache Kafka: producing
in every codec and with every acks, reading what each other client wrote, groups that members join and leave, topics and
their configurations, offsets for times, and transactions where the broker has them. Compares the answers, and the table
of clients in redpanda/embedded/README.md with them; --write brings that table up to date.

Builds the clients in .tools/clients. What the machine lacks (Go, Python, Java, Maven, kcat) is skipped with a line.`;

const say = (line: string) => void process.stderr.write(`test-kafka-clients: ${line}\n`);

/** What the script skips without an API, by the API's key. */
const skipped: Readonly<Record<string, string>> = {
  24: "transactions, which need AddPartitionsToTxn (24)",
  44: "changes of configurations, which need IncrementalAlterConfigs (44)",
  47: "the deletion of committed offsets, which needs OffsetDelete (47)",
};

/** Builds what the machine can build. */
async function provide(wanted: readonly MatrixClient[]): Promise<(MatrixClient & ClientUnderTest)[]> {
  const provided = await Promise.all(
    wanted.map(async (client) => {
      try {
        return [{ env: {}, limits: {}, ...client, ...(await client.provide()) }];
      } catch (error) {
        if (!(error instanceof ClientMissing || error instanceof ApacheKafkaMissing)) throw error;
        say(`skipped ${client.name}: ${error.message}`);
        return [];
      }
    }),
  );
  return provided.flat();
}

async function onEmbedded(clients: readonly ClientUnderTest[]): Promise<{ run: Run; apis: Set<number> }> {
  const dataDir = mkdtempSync(join(tmpdir(), "kafka-clients-"));
  const broker = await startBroker({ dataDir, host: "127.0.0.1", port: 0 });
  try {
    const apis = await apisOf(broker.port);
    for (const [api, what] of Object.entries(skipped)) if (!apis.has(Number(api))) say(`skipped ${what}`);
    return { run: await runClients("the embedded broker", broker.port, apis, clients), apis };
  } finally {
    await broker.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** @returns undefined when Apache Kafka cannot be run here */
async function onApacheKafka(
  clients: readonly ClientUnderTest[],
  apis: ReadonlySet<number>,
): Promise<Run | undefined> {
  try {
    await provideApacheKafka(say);
  } catch (error) {
    if (!(error instanceof ApacheKafkaMissing)) throw error;
    say(`skipped the comparison with Apache Kafka: ${error.message}`);
    return undefined;
  }
  say("the same on Apache Kafka");
  const [broker = 0, controller = 0] = freePorts(2);
  const settings = { "group.initial.rebalance.delay.ms": "0" };
  const kafka = await startApacheKafka({ ports: { broker, controller }, settings });
  try {
    return await runClients("Apache Kafka", broker, apis, clients);
  } finally {
    await kafka.stop();
  }
}

await runCommand("test-kafka-clients", USAGE, async (args) => {
  const parsed = parseOptions(args, { write: { type: "boolean", default: false } }, Number.POSITIVE_INFINITY);
  const { values } = parsed;
  const positionals: readonly string[] = parsed.positionals;
  const unknown = positionals.find((name) => !matrixClients.some((client) => client.name === name));
  if (unknown !== undefined) throw new UsageError(`there is no client "${unknown}"`);
  const wanted = matrixClients.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const clients = await provide(wanted);
  say(`${clients.map(({ name }) => name).join(", ")} on the embedded broker`);
  const { run, apis } = await onEmbedded(clients);
  const apacheKafka = await onApacheKafka(clients, apis);
  const problems = problemsOf(run, apacheKafka);
  const rows = tableOf(run, clients);
  if (values.write && clients.length === matrixClients.length) writeTable(rows);
  const documented = rowsInReadme();
  // A client alone has nobody whose records it could read.
  for (const row of clients.length > 1 ? rows.slice(1) : []) {
    const line = row.join(" | ");
    if (documented.some((other) => other.join(" | ") === line)) continue;
    problems.push(`redpanda/embedded/README.md should have the row: ${line}`);
  }
  process.stdout.write(`${table(rows[0] ?? [], rows.slice(1))}\n`);
  for (const problem of problems) say(problem);
  const steps = [...run.transcripts.values()].reduce((sum, transcript) => sum + transcript.size, 0);
  const compared =
    apacheKafka === undefined ? "not compared with Apache Kafka's" : "compared with Apache Kafka's";
  say(`${clients.length} clients, ${steps} answers, ${compared}: ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
});
