import type { ShownEffect, ShownEffectDetails } from "@distributed-messaging/service/effects";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken, expectAnswer, request } from "./command/client.ts";
import { parseOptions, runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run effects <command> --service NAME [options]

  list                      dead effects: calls of other systems that failed too often; oldest first
  show ID                   one of them in full
  retry ID                  try it again, under the same idempotency key
  retry --name N | --all    try again all of a name, or all
  discard ID --reason TEXT  delete it; it is never performed

  --name N  --after ID  --limit N  (list) those of a name; the next page; the size of a page
  --json     print JSON
  --token T  an admin's token; without it, TOKEN in the environment, or one that is signed with OPERATOR_KEY_FILE

--service is one of ${serviceNames.join(", ")}.
HOST and the ports of the services come from the environment, as for npm start.`;

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;
const options = {
  service: text,
  name: text,
  after: text,
  limit: text,
  reason: text,
  token: text,
  all: flag,
  json: flag,
} as const;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, options, true);
  const [command, operand, extra] = positionals;
  if (command === undefined) throw new UsageError("expected a command: list, show, retry or discard");
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
  const settings = readSettings(process.env);
  const { host, ports } = settings;
  const url = `${urlOf(host, ports[serviceOf(values.service)])}/effects/dead`;
  const print = (value: unknown, lines: string) =>
    console.log(values.json ? JSON.stringify(value, null, 2) : lines);
  const token = await adminToken(settings, values.token);
  const ask = async <Body>(method: string, path: string, status: number, body?: object) =>
    expectAnswer<Body>(
      await request(method, `${url}${path}`, { token, ...(body === undefined ? {} : { body }) }),
      status,
    );

  if (command === "list" && operand === undefined) {
    const { name, after, limit } = values;
    const query = new URLSearchParams();
    for (const [field, value] of Object.entries({ name, after, limit })) {
      if (value !== undefined) query.set(field, value);
    }
    const effects = await ask<ShownEffect[]>("GET", query.size === 0 ? "" : `?${query}`, 200);
    print(effects, listing(effects));
    return 0;
  }
  if (command === "retry" && operand === undefined) {
    if (values.name === undefined && !values.all) throw new UsageError("retry needs an id, --name or --all");
    const body = values.name === undefined ? {} : { name: values.name };
    const answer = await ask<{ retried: number }>("POST", "/retry", 200, body);
    print(answer, `${answer.retried} effects are tried again`);
    return 0;
  }
  const id = idOf(command, operand);
  switch (command) {
    case "show": {
      const effect = await ask<ShownEffectDetails>("GET", `/${id}`, 200);
      print(effect, details(effect));
      return 0;
    }
    case "retry":
      await ask("POST", `/${id}/retry`, 204);
      print({ id, retried: true }, `${id} is tried again`);
      return 0;
    case "discard":
      if (!values.reason) throw new UsageError("discard needs --reason TEXT");
      await ask("DELETE", `/${id}`, 204, { reason: values.reason });
      print({ id, discarded: true }, `${id} is discarded`);
      return 0;
    default:
      throw new UsageError(`unknown command ${command}; the commands are list, show, retry and discard`);
  }
}

function listing(effects: readonly ShownEffect[]): string {
  if (effects.length === 0) return "no effect is dead";
  const rows = effects.map(({ id, name, enqueuedAt, attempts, retries, error }) => [
    ...[String(id), name, enqueuedAt, String(attempts), String(retries), printable(error)],
  ]);
  return table(["ID", "NAME", "ENQUEUED", "TRIES", "RETRIES", "ERROR"], rows);
}

function details({ input, actions, ...effect }: ShownEffectDetails): string {
  const facts = Object.entries(effect).map(([name, fact]) => `${name}: ${fact}`);
  const done = actions.map(({ at, actor, action, detail }) => `${at} ${actor}: ${action} ${detail}`);
  return [...facts, ...done, "", JSON.stringify(input, null, 2)].map(printable).join("\n");
}

/** @throws UsageError */
function serviceOf(named: string | undefined): ServiceName {
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return service;
  throw new UsageError(`--service: expected one of ${serviceNames.join(", ")}`);
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

await runCommand("effects", USAGE, main);
