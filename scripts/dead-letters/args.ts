import { deadLetterReasons } from "@distributed-messaging/messaging";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { parseOptions, UsageError } from "../command/command.ts";
import type { Filter } from "./client.ts";

export const usage = `usage: bun run dead-letters <command> [--service NAME|all] [options]

  list                       dead letters, oldest first
  show ID                    a dead letter in full; --raw: its message only
  edit ID --file F           replace the message by the one in F (- is standard input)
  replay ID… | filters       handle the messages again, then those that they block; --all: every dead letter
  discard ID --reason TEXT   discard a dead letter and release the messages that it blocks

  filters      --topic T  --key K  --reason R  --error TEXT  --older-than 1h  --after ID  --limit N
  --dry-run    (replay) print what would be replayed, and change nothing
  --json       print JSON
  --token T    an admin's token; without it, TOKEN in the environment, or one that is signed with OPERATOR_KEY_FILE

--service is one of ${serviceNames.join(", ")}; list and filters accept all too, which is list's default.
HOST and the ports of the services come from the environment, as for npm start.`;

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

/** @throws UsageError */
export function readArguments(args: readonly string[]): Request {
  const { values, positionals } = parse(args);
  const [name, ...operands] = positionals;
  if (name === undefined) throw new UsageError("expected a command: list, show, edit, replay or discard");
  const command = commandOf(name, operands, values);
  const takesAll = command.name === "list" || command.name === "replay-matching";
  return {
    command,
    services: servicesOf(values.service, takesAll, command.name === "list"),
    json: values.json,
    token: values.token,
  };
}

const parse = (args: readonly string[]) => parseOptions(args, options, true);

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
      throw new UsageError(`unknown command ${name}; the commands are list, show, edit, replay and discard`);
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
  throw new UsageError(`unknown reason ${named}; the reasons are ${deadLetterReasons.join(", ")}`);
}

function servicesOf(
  named: string | undefined,
  takesAll: boolean,
  allByDefault: boolean,
): readonly ServiceName[] {
  if (named === "all" || (named === undefined && allByDefault)) {
    if (takesAll) return serviceNames;
    throw new UsageError("a command with an id needs one service: --service");
  }
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return [service];
  const problem = named === undefined ? "--service is missing" : `unknown service ${named}`;
  throw new UsageError(`${problem}; expected ${serviceNames.join(", ")}${takesAll ? " or all" : ""}`);
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
  throw new UsageError(`${what} must be a whole number, got '${digits}'`);
}

function required(value: string | undefined, command: string, what: string): string {
  if (value === undefined || value === "") throw new UsageError(`${command} needs ${what}`);
  return value;
}

function noMore(operands: readonly string[], most: number): void {
  const extra = operands[most];
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
}
