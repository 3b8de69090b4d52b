import { deepEquals } from "bun";
import type { Run } from "./run.ts";
import type { Step, Transcript } from "./script.ts";

/** A step at which the embedded broker may differ from the script and from Apache Kafka. */
export interface Difference {
  /** Of one client; of every client unless given. */
  readonly client?: string;
  readonly step: string;
  /** A sentence of `redpanda/embedded/UNSUPPORTED.md`. */
  readonly reason: string;
}

/** All differences. None, so far. */
const differences: readonly Difference[] = [];

/** A step at which a client does not do what the script expects, on any broker. What it answers may depend on chance. */
export interface ClientDefect {
  readonly client: string;
  readonly step: string;
  /** What it cannot do, for the table. */
  readonly what: string;
}

const secondTransaction = { client: "platformatic", what: "a second transaction of an id" };

/** `@platformatic/kafka` is fenced (PRODUCER_FENCED) when a new producer ends a transaction of an id that had one before. */
export const clientDefects: readonly ClientDefect[] = [
  { ...secondTransaction, step: "aborts one" },
  { ...secondTransaction, step: "reads everything" },
  { ...secondTransaction, step: "reads what the other one committed" },
];

export interface Allowed {
  readonly differences: readonly Difference[];
  readonly clientDefects: readonly ClientDefect[];
}

/**
 * What is wrong with the answers of the clients, a line each.
 *
 * @param embedded the run on the embedded broker
 * @param apacheKafka the run on Apache Kafka, if there was one
 */
export function problemsOf(
  embedded: Run,
  apacheKafka: Run | undefined,
  allowed: Allowed = { differences, clientDefects },
): string[] {
  const problems: string[] = [];
  const used = new Set<Difference | ClientDefect>();
  const report = (
    client: string,
    findings: readonly Finding[],
    known: readonly (Difference | ClientDefect)[],
  ) => {
    for (const { step, text } of findings) {
      const match = known.find((each) => each.step === step && (each.client ?? client) === client);
      if (match === undefined) problems.push(`${client}: ${step}: ${text}`);
      else used.add(match);
    }
  };
  for (const [client, transcript] of embedded.transcripts) {
    report(client, unexpected(embedded.broker, transcript), [
      ...allowed.differences,
      ...allowed.clientDefects,
    ]);
    if (apacheKafka === undefined) continue;
    report(client, compared(embedded, apacheKafka, client), [
      ...allowed.differences,
      ...allowed.clientDefects,
    ]);
    const other = apacheKafka.transcripts.get(client) ?? new Map();
    report(client, unexpected(apacheKafka.broker, other), allowed.clientDefects);
  }
  for (const each of [...allowed.differences, ...allowed.clientDefects]) {
    const { client, step } = each;
    const wasRun = client === undefined || embedded.transcripts.get(client)?.has(step) === true;
    if (wasRun && !used.has(each)) problems.push(`${step}: there is no such difference any more`);
  }
  return problems;
}

interface Finding {
  readonly step: string;
  readonly text: string;
}

/** The steps whose answers are not what the script expects. */
function unexpected(broker: string, transcript: Transcript): Finding[] {
  return [...transcript].flatMap(([step, { answer, expected }]) => {
    if (expected === undefined || "lacks" in answer || deepEquals(answer, expected)) return [];
    return [{ step, text: `on ${broker} ${JSON.stringify(answer)} instead of ${JSON.stringify(expected)}` }];
  });
}

/** The steps with another answer on each broker, or on one of them only. */
function compared(embedded: Run, apacheKafka: Run, client: string): Finding[] {
  const [one, other] = [embedded.transcripts.get(client), apacheKafka.transcripts.get(client)];
  const steps = new Set([...(one?.keys() ?? []), ...(other?.keys() ?? [])]);
  return [...steps].flatMap((step) => {
    const answers = [one?.get(step), other?.get(step)].map(answerOf);
    if (deepEquals(answers[0], answers[1])) return [];
    const [here, there] = answers.map((answer) => JSON.stringify(answer) ?? "no answer");
    return [{ step, text: `${here} on ${embedded.broker}, ${there} on ${apacheKafka.broker}` }];
  });
}

function answerOf(step: Step | undefined): unknown {
  return step?.answer;
}
