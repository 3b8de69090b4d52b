import { type StopAction, stopActions, type TopicFinding } from "@distributed-messaging/messaging";
import type { ShownStop, ShownStopHistory } from "@distributed-messaging/service/partitions";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken, expectAnswer, request } from "./command/client.ts";
import { parseOptions, runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run partitions <command> [--service NAME] [options]

  list                       partitions that are stopped, of every service unless one is named
  show TOPIC/PARTITION       why it is stopped, and what was decided about it before
  skip TOPIC/PARTITION       leave out what it is stopped at, and go on after it
  resume TOPIC/PARTITION     try again where it is stopped
  skip-older, handle-older, park-older TOPIC/PARTITION
                             for a log that is read anew: leave out records that are too old to be known, handle them, or
                             park them as dead letters
  topics                     what of the topics' configuration is not what the messages need
  accept TOPIC               write the topic with its new number of partitions; its readers have handled all before

  --reason TEXT  why: required by every command that decides; recorded with who decided
  --json         print JSON
  --token T      an admin's token; without it, TOKEN in the environment, or one that is signed with OPERATOR_KEY_FILE

--service is one of ${serviceNames.join(", ")}.
HOST and the ports of the services come from the environment, as for npm start.`;

interface Place {
  readonly topic: string;
  readonly partition: string;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(
    args,
    {
      service: { type: "string" },
      reason: { type: "string" },
      token: { type: "string" },
      json: { type: "boolean", default: false },
    },
    true,
  );
  const [command, operand, extra] = positionals;
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
  const settings = readSettings(process.env);
  const { host, ports } = settings;
  const urls = (services: readonly ServiceName[]) =>
    services.map((service) => ({ service, url: `${urlOf(host, ports[service])}/partitions` }));
  const token = () => adminToken(settings, values.token);
  const print = (value: unknown, text: string) =>
    console.log(values.json ? JSON.stringify(value, null, 2) : text);

  if (command === undefined) throw new UsageError("expected a command; see --help");
  if (command === "topics") {
    const [target] = urls([serviceOf(values.service)]);
    const answer = await request("GET", `${target?.url}/topics`, { token: await token() });
    const findings = await expectAnswer<readonly TopicFinding[]>(answer, 200);
    const lines = findings.map(({ topic, severity, text }) => `${severity}: ${topic} ${text}`);
    print(findings, lines.length === 0 ? "nothing is found" : lines.join("\n"));
    return findings.some(({ severity }) => severity === "error") ? 1 : 0;
  }
  if (command === "list") {
    if (operand !== undefined) throw new UsageError(`unexpected argument '${operand}'`);
    const services = values.service === undefined ? serviceNames : [serviceOf(values.service)];
    return list(urls(services), await token(), print);
  }
  const [target] = urls([serviceOf(values.service)]);
  if (target === undefined) throw new TypeError("one service has one address");
  const place = placeOf(command, operand);
  const url = `${target.url}/${encodeURIComponent(place.topic)}/${place.partition}`;
  if (command === "show") {
    const answer = await request("GET", url, { token: await token() });
    const history = await expectAnswer<ShownStopHistory>(answer, 200);
    print(history, historyText(history));
    return 0;
  }
  const action = stopActions.find((known): known is StopAction => known === command);
  if (action === undefined) {
    throw new UsageError(
      `unknown command ${command}; the commands are list, topics, show, ${stopActions.join(", ")}`,
    );
  }
  if (values.reason === undefined || values.reason === "")
    throw new UsageError(`${command} needs --reason TEXT`);
  const body = { action, reason: values.reason };
  const answer = await request("POST", `${url}/decisions`, { token: await token(), body });
  const history = await expectAnswer<ShownStopHistory>(answer, 200);
  print(history, `${nameOf(place)} of ${target.service} goes on`);
  return 0;
}

async function list(
  targets: readonly { readonly service: ServiceName; readonly url: string }[],
  token: string,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  const stops: (ShownStop & { service: ServiceName })[] = [];
  const problems: string[] = [];
  for (const { service, url } of targets) {
    try {
      const found = await expectAnswer<ShownStop[]>(await request("GET", url, { token }), 200);
      stops.push(...found.map((stop) => ({ service, ...stop })));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(`${service}: ${error.message}`);
    }
  }
  if (problems.length === targets.length) throw new UsageError(problems.join("\n"));
  for (const problem of problems) process.stderr.write(`partitions: ${problem}\n`);
  const rows = stops.map(({ service, offset, reason, stoppedAt, error, ...place }) => [
    ...[service, nameOf(place), String(offset), reason, stoppedAt, printable(error)],
  ]);
  const header = ["SERVICE", "PARTITION", "OFFSET", "REASON", "SINCE", "ERROR"];
  print(stops, rows.length === 0 ? "no partition is stopped" : table(header, rows));
  return problems.length === 0 ? 0 : 1;
}

function historyText({ stop, decisions, ...place }: ShownStopHistory): string {
  const lines = [
    stop === null
      ? `${nameOf(place)} is not stopped`
      : `${nameOf(place)} is stopped at offset ${stop.offset} since ${stop.stoppedAt}: ${stop.reason}\n${stop.error}`,
  ];
  if (stop !== null) lines.push(`after a skip it goes on at offset ${stop.nextOffset}`);
  if (typeof stop?.base64 === "string") lines.push(`bytes: ${stop.base64}`);
  for (const { at, actor, action, offset, reason, detail } of decisions) {
    lines.push(`${at} ${actor}: ${action} at offset ${offset} (${reason}), ${detail}`);
  }
  return lines.map(printable).join("\n");
}

function nameOf({ topic, partition }: Place): string {
  return partition === "all" ? topic : `${topic}/${partition}`;
}

/** @throws UsageError */
function serviceOf(named: string | undefined): ServiceName {
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return service;
  throw new UsageError(`--service: expected one of ${serviceNames.join(", ")}`);
}

/** @throws UsageError */
function placeOf(command: string, operand: string | undefined): Place {
  const match = /^([\w.-]{1,249})(?:\/(\d{1,9}))?$/.exec(operand ?? "");
  if (match?.[1] === undefined) throw new UsageError(`${command} needs TOPIC/PARTITION, such as orders/3`);
  if (match[2] === undefined && command !== "accept" && command !== "show" && command !== "resume") {
    throw new UsageError(`${command} needs TOPIC/PARTITION, such as ${match[1]}/3`);
  }
  return { topic: match[1], partition: match[2] ?? "all" };
}

/** Replaces control characters, which could change what a terminal shows. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}

await runCommand("partitions", USAGE, main);
