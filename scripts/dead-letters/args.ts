import { parseArgs } from "node:util";
import { deadLetterReasons, errorText } from "@distributed-messaging/messaging";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { UsageError } from "../start/settings.ts";
import type { Filter } from "./client.ts";

export const usage = `usage: bun run dead-letters <command> [--service NAME|all] [options]

  list                       dead letters, oldest first
  show ID                    all that is known of one; --raw: only its message, as it stands now
  edit ID --file F           put the message in F (- is standard input) in the place of the one that came
  replay ID… | filters       handle them again; those that wait behind them follow; --all: whatever there is
  discard ID --reason TEXT   throw one away; those that wait behind it go on

  filters      --topic T  --key K  --reason R  --error TEXT  --older-than 1h  --after ID  --limit N
  --dry-run    (replay) say what would be tried, change nothing
  --json       print JSON
  --token T    an admin's token, or TOKEN in the environment; else the gateway's demo sign-in gives one

--service is one of ${serviceNames.join(", ")}; list and filters also take all, which list does by itself.
HOST and the ports of the services are taken from the environment, as npm start takes them.`;

export type Command =
  | { readonly name: "list"; readonly filter: Filter }
  | { readonly name: "show"; readonly id: number; readonly raw: boolean }
  | { readonly name: "edit"; readonly id: number; readonly file: string }
  | { readonly name: "replay"; readonly ids: readonly number[]; readonly dryRun: boolean }
  | { readonly name: "replay-matching"; readonly filter: Filter; readonly dryRun: boolean }
  | { readonly name: "discard"; readonly id: number; readonly reason: string };

export interface Request {
  readonly command: Command;
  readonly services: readonly ServiceName[];
  readonly json: boolean;
  readonly token: string | undefined;
}

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;
const options = {
  service: text,
  topic: text,
  key: text,
  reason: text,
  error: text,
  "older-than": text,
  after: text,
  limit: text,
  file: text,
  token: text,
  raw: flag,
  all: flag,
  "dry-run": flag,
  json: flag,
} as const;

/** @throws UsageError with one line when the arguments make no sense */
export function readArguments(args: readonly string[]): Request {
  const { values, positionals } = parse(args);
  const [name, ...operands] = positionals;
  if (name === undefined) throw new UsageError("which command? list, show, edit, replay or discard");
  const command = commandOf(name, operands, values);
  const takesAll = command.name === "list" || command.name === "replay-matching";
  return {
    command,
    services: servicesOf(values.service, takesAll, command.name === "list"),
    json: values.json,
    token: values.token,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Its first sentence; the others explain how to quote a dash.
    const [sentence = ""] = errorText(error).split(". ");
    throw new UsageError(sentence);
  }
}

type Values = ReturnType<typeof parse>["values"];

function commandOf(name: string, operands: readonly string[], values: Values): Command {
  switch (name) {
    case "list":
      knownReason(values.reason);
      noMore(operands, 0);
      return { name, filter: filterOf(values) };
    case "show":
      return { name, id: oneId(name, operands), raw: values.raw };
    case "edit":
      return { name, id: oneId(name, operands), file: required(values.file, "edit", "--file FILE") };
    case "discard":
      return { name, id: oneId(name, operands), reason: required(values.reason, name, "--reason TEXT") };
    case "replay":
      return replayOf(operands, values);
    default:
      throw new UsageError(`there is no command ${name}; there are list, show, edit, replay and discard`);
  }
}

function replayOf(operands: readonly string[], values: Values): Command {
  knownReason(values.reason);
  const filter = filterOf(values);
  const dryRun = values["dry-run"];
  const isFiltered = values.all || Object.keys(filter).length > 0;
  if (operands.length > 0) {
    if (isFiltered) throw new UsageError("replay takes ids or filters, not both");
    return { name: "replay", ids: operands.map(idOf), dryRun };
  }
  if (!isFiltered) throw new UsageError("replay needs ids, filters or --all");
  return { name: "replay-matching", filter, dryRun };
}

function filterOf(values: Values): Filter {
  const { topic, key, reason, error, after, limit, "older-than": olderThan } = values;
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(reason === undefined ? {} : { reason }),
    ...(error === undefined ? {} : { error }),
    ...(olderThan === undefined ? {} : { olderThan }),
    ...(after === undefined ? {} : { after: wholeNumber("--after", after) }),
    ...(limit === undefined ? {} : { limit: wholeNumber("--limit", limit) }),
  };
}

function knownReason(named: string | undefined): void {
  if (named === undefined || deadLetterReasons.some((reason) => reason === named)) return;
  throw new UsageError(`there is no reason ${named}: ${deadLetterReasons.join(", ")}`);
}

function servicesOf(
  named: string | undefined,
  takesAll: boolean,
  allByDefault: boolean,
): readonly ServiceName[] {
  if (named === "all" || (named === undefined && allByDefault)) {
    if (takesAll) return serviceNames;
    throw new UsageError("an id belongs to one service: name it with --service");
  }
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return [service];
  const which = named === undefined ? "say which with --service" : `there is no service ${named}`;
  throw new UsageError(`${which}: ${serviceNames.join(", ")}${takesAll ? " or all" : ""}`);
}

function oneId(command: string, operands: readonly string[]): number {
  noMore(operands, 1);
  return idOf(required(operands[0], command, "an id"));
}

function idOf(operand: string): number {
  return wholeNumber("an id", operand);
}

function wholeNumber(what: string, digits: string): number {
  if (/^\d{1,15}$/.test(digits)) return Number(digits);
  throw new UsageError(`${what} is a whole number, not '${digits}'`);
}

function required(value: string | undefined, command: string, what: string): string {
  if (value === undefined || value === "") throw new UsageError(`${command} needs ${what}`);
  return value;
}

function noMore(operands: readonly string[], most: number): void {
  const extra = operands[most];
  if (extra !== undefined) throw new UsageError(`what is '${extra}'? one thing too many`);
}
