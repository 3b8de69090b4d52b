import { stopActions, type TopicFinding } from "@distributed-messaging/messaging";
import type { ShownStop, ShownStopHistory } from "@distributed-messaging/service/partitions";
import {
  ADMIN_USAGE,
  AdminClient,
  actionLines,
  adminOptions,
  placeName,
  required,
  serviceOf,
  servicesOf,
  text,
} from "./command/admin.ts";
import { noMore, parseOptions, runCommand, table, UsageError, wholeNumber } from "./command/command.ts";

const USAGE = `usage: bun run partitions <command> [--service NAME|all] [options]

  list                       partitions that are stopped
  show TOPIC/PARTITION       why it is stopped, and what was decided about it before
  skip TOPIC/PARTITION       leave out what it is stopped at, and go on after it
  resume TOPIC/PARTITION     try again where it is stopped
  skip-older, handle-older, park-older TOPIC/PARTITION
                             for a log that is read anew: leave out records that are too old to be known, handle them, or
                             park them as dead letters
  topics                     what of the topics' configuration is not what the messages need
  accept TOPIC               write the topic with its new number of partitions; its readers have handled all before

  --offset N  where you found it stopped: refused if it is stopped elsewhere by now
  --reason T  why: required by every command that decides; recorded with who decided
${ADMIN_USAGE}`;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, { ...adminOptions, reason: text, offset: text }, 2);
  const [command, ...operands] = positionals;
  const known = ["list", "topics", "show", ...stopActions];
  if (command === undefined) throw new UsageError(`expected a command: ${known.join(", ")}`);
  if (!known.includes(command)) {
    throw new UsageError(`unknown command ${command}; the commands are ${known.join(", ")}`);
  }
  const admin = new AdminClient("partitions", values);
  if (command === "list") {
    noMore(operands, 0);
    return list(admin, values.service);
  }
  const service = serviceOf(values.service);
  if (command === "topics") {
    noMore(operands, 0);
    const findings = await admin.ask<readonly TopicFinding[]>(service, "GET", "/partitions/topics", 200);
    const lines = findings.map((finding) => `${finding.severity}: ${finding.topic} ${finding.text}`);
    admin.print(findings, lines.length === 0 ? "nothing is found" : lines.join("\n"));
    return findings.some(({ severity }) => severity === "error") ? 1 : 0;
  }
  noMore(operands, 1);
  const place = placeOf(command, operands[0]);
  const path = `/partitions/${encodeURIComponent(place.topic)}/${place.partition}`;
  if (command === "show") {
    const history = await admin.ask<ShownStopHistory>(service, "GET", path, 200);
    admin.print(history, historyText(history));
    return 0;
  }
  const reason = required(values.reason, command, "--reason TEXT");
  const offset = values.offset === undefined ? {} : { offset: wholeNumber("--offset", values.offset) };
  const body = { action: command, reason, ...offset };
  const history = await admin.ask<ShownStopHistory>(service, "POST", `${path}/decisions`, 200, body);
  admin.print(history, `${placeName(place)} of ${service} goes on`);
  return 0;
}

async function list(admin: AdminClient, named: string | undefined): Promise<number> {
  const { answers, isComplete } = await admin.askEach(servicesOf(named, true, true), async (service) => {
    const stops = await admin.ask<ShownStop[]>(service, "GET", "/partitions", 200);
    return stops.map((stop) => ({ service, ...stop }));
  });
  const rows = answers
    .flat()
    .map(({ service, offset, reason, stoppedAt, error, ...place }) => [
      ...[service, placeName(place), String(offset), reason, stoppedAt, error],
    ]);
  const header = ["SERVICE", "PARTITION", "OFFSET", "REASON", "SINCE", "ERROR"];
  admin.print(answers.flat(), rows.length === 0 ? "no partition is stopped" : table(header, rows));
  return isComplete ? 0 : 1;
}

function historyText({ stop, decisions, ...place }: ShownStopHistory): string {
  const name = placeName(place);
  const state =
    stop === null
      ? [`${name} is not stopped`]
      : [
          `${name} is stopped at offset ${stop.offset} since ${stop.stoppedAt}: ${stop.reason}`,
          stop.error,
          `after a skip it goes on at offset ${stop.nextOffset}`,
          ...(stop.base64 === null ? [] : [`bytes: ${stop.base64}`]),
        ];
  const done = decisions.map(({ action, offset, reason, ...decision }) => ({
    ...decision,
    action: `${action} at offset ${offset} (${reason})`,
  }));
  return [...state, ...actionLines(done)].join("\n");
}

/** @throws UsageError */
function placeOf(command: string, operand: string | undefined): Pick<ShownStop, "topic" | "partition"> {
  const match = /^([\w.-]{1,249})(?:\/(\d{1,9}))?$/.exec(operand ?? "");
  if (match?.[1] === undefined) throw new UsageError(`${command} needs TOPIC/PARTITION, such as orders/3`);
  if (match[2] === undefined && command !== "accept" && command !== "show" && command !== "resume") {
    throw new UsageError(`${command} needs TOPIC/PARTITION, such as ${match[1]}/3`);
  }
  return { topic: match[1], partition: match[2] ?? "all" };
}

await runCommand("partitions", USAGE, main);
