import type { ShownParked, ShownParkedDetails } from "@distributed-messaging/service/outbox";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken, expectAnswer, request } from "./command/client.ts";
import { parseOptions, runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run outbox <command> [--service NAME|all] [options]

  list                     outgoing messages that the broker refuses, oldest first; of every service unless one is named
  show ID                  one of them in full
  retry ID                 send it again, and the later ones of its topic and key
  retry --topic T | --all  send again all of a topic, or all
  drop ID --reason TEXT    delete it; it is never sent, and the later ones of its key are

  --topic T  --after ID  --limit N  (list) those of a topic; the next page; the size of a page
  --json     print JSON
  --token T  an admin's token; without it, TOKEN in the environment, or one that is signed with OPERATOR_KEY_FILE

--service is one of ${serviceNames.join(", ")}; list and retry without an id accept all too.
HOST and the ports of the services come from the environment, as for npm start.`;

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;
const options = {
  service: text,
  topic: text,
  after: text,
  limit: text,
  reason: text,
  token: text,
  all: flag,
  json: flag,
} as const;

interface Target {
  readonly service: ServiceName;
  readonly url: string;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, options, true);
  const [command, operand, extra] = positionals;
  if (command === undefined) throw new UsageError("expected a command: list, show, retry or drop");
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
  const settings = readSettings(process.env);
  const { host, ports } = settings;
  const targets = servicesOf(values.service, operand === undefined, command === "list").map((service) => ({
    service,
    url: `${urlOf(host, ports[service])}/outbox/parked`,
  }));
  const print = (value: unknown, lines: string) =>
    console.log(values.json ? JSON.stringify(value, null, 2) : lines);
  const token = await adminToken(settings, values.token);
  const ask = async <Body>(method: string, url: string, status: number, body?: object) =>
    expectAnswer<Body>(
      await request(method, url, { token, ...(body === undefined ? {} : { body }) }),
      status,
    );

  if (command === "list" && operand === undefined) {
    const { topic, after, limit } = values;
    const fields = new URLSearchParams();
    for (const [field, value] of Object.entries({ topic, after, limit })) {
      if (value !== undefined) fields.set(field, value);
    }
    const query = fields.size === 0 ? "" : `?${fields}`;
    const { answers, isComplete } = await eachOf(targets, async ({ service, url }) => {
      const found = await ask<ShownParked[]>("GET", `${url}${query}`, 200);
      return found.map((record) => ({ service, ...record }));
    });
    print(answers.flat(), listing(answers.flat()));
    return isComplete ? 0 : 1;
  }
  if (command === "retry" && operand === undefined) {
    if (values.topic === undefined && !values.all)
      throw new UsageError("retry needs an id, --topic or --all");
    const body = values.topic === undefined ? {} : { topic: values.topic };
    const { answers, isComplete } = await eachOf(targets, async ({ service, url }) => {
      return { service, ...(await ask<{ retried: number }>("POST", `${url}/retry`, 200, body)) };
    });
    const lines = answers.map(
      ({ service, retried }) => `${service}: messages of ${retried} keys are sent again`,
    );
    print(answers, lines.join("\n"));
    return isComplete ? 0 : 1;
  }
  const [target] = targets;
  if (target === undefined) throw new TypeError("a command with an id has one service");
  const id = idOf(command, operand);
  const url = `${target.url}/${id}`;
  switch (command) {
    case "show": {
      const record = await ask<ShownParkedDetails>("GET", url, 200);
      print(record, details(record));
      return 0;
    }
    case "retry":
      await ask("POST", `${url}/retry`, 204);
      print({ id, retried: true }, `${id} is sent again, and the later ones of its key`);
      return 0;
    case "drop":
      if (!values.reason) throw new UsageError("drop needs --reason TEXT");
      await ask("DELETE", url, 204, { reason: values.reason });
      print({ id, dropped: true }, `${id} is dropped`);
      return 0;
    default:
      throw new UsageError(`unknown command ${command}; the commands are list, show, retry and drop`);
  }
}

/** Sends a request to every service, also when some do not answer. @throws UsageError when none answers */
async function eachOf<T>(
  targets: readonly Target[],
  send: (target: Target) => Promise<T>,
): Promise<{ readonly answers: T[]; readonly isComplete: boolean }> {
  const answers: T[] = [];
  const problems: string[] = [];
  for (const target of targets) {
    try {
      answers.push(await send(target));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(`${target.service}: ${error.message}`);
    }
  }
  if (answers.length === 0) throw new UsageError(problems.join("\n"));
  for (const problem of problems) process.stderr.write(`outbox: ${problem}\n`);
  return { answers, isComplete: problems.length === 0 };
}

function listing(records: readonly (ShownParked & { readonly service: ServiceName })[]): string {
  if (records.length === 0) return "no message is parked";
  const rows = records.map(({ service, id, parkedAt, reason, topic, key, bytes, error }) => [
    ...[service, String(id), parkedAt, reason, topic, printable(key ?? "(none)"), String(bytes)],
    printable(error),
  ]);
  return table(["SERVICE", "ID", "SINCE", "REASON", "TOPIC", "KEY", "BYTES", "ERROR"], rows);
}

function details({ value, headers, actions, ...record }: ShownParkedDetails): string {
  const facts = Object.entries(record).map(([name, fact]) => `${name}: ${fact ?? "(none)"}`);
  const done = actions.map(({ at, actor, action, detail }) => `${at} ${actor}: ${action} ${detail}`);
  const content = value === null ? "(none)" : Buffer.from(value.base64, "base64").toString();
  return [...facts, `headers: ${JSON.stringify(headers)}`, ...done, "", content].map(printable).join("\n");
}

/** @throws UsageError */
function servicesOf(
  named: string | undefined,
  takesAll: boolean,
  allByDefault: boolean,
): readonly ServiceName[] {
  if (takesAll && (named === "all" || (named === undefined && allByDefault))) return serviceNames;
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return [service];
  throw new UsageError(`--service: expected one of ${serviceNames.join(", ")}${takesAll ? " or all" : ""}`);
}

/** @throws UsageError */
function idOf(command: string, operand: string | undefined): number {
  if (operand !== undefined && /^\d{1,15}$/.test(operand)) return Number(operand);
  throw new UsageError(`${command} needs an id`);
}

/** Replaces control characters, which could change what a terminal shows. */
function printable(line: string): string {
  return line.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}

await runCommand("outbox", USAGE, main);
