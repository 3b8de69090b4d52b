import { deadLetterReasons } from "@distributed-messaging/messaging";
import { durationToMs } from "@distributed-messaging/service/config";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { ADMIN_USAGE, adminOptions, flag, required, servicesOf, text } from "../command/admin.ts";
import { noMore, parseOptions, UsageError, wholeNumber } from "../command/command.ts";

export const usage = `usage: bun run dead-letters <command> [--service NAME|all] [options]

  list                       dead letters, oldest first; then the partitions that are stopped
  show ID                    a dead letter in full; --raw: its message only
  edit ID --file F           replace the message by the one in F (- is standard input)
  replay ID… | filters       handle the messages again, then those that they block; --all: every dead letter
  discard ID --reason TEXT   discard a dead letter and release the messages that it blocks

  filters    --topic T  --key K  --reason R  --error TEXT  --older-than 1h  --after ID  --limit N
  --dry-run  (replay) print what would be replayed, and change nothing
${ADMIN_USAGE}`;

/** Selects dead letters; all given fields must match. */
export interface Filter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: string;
  readonly error?: string;
  /** A duration such as `1h`. */
  readonly olderThan?: string;
  readonly after?: number;
  readonly limit?: number;
}

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

const options = {
  ...adminOptions,
  topic: text,
  key: text,
  reason: text,
  error: text,
  "older-than": text,
  after: text,
  limit: text,
  file: text,
  raw: flag,
  all: flag,
  "dry-run": flag,
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

const parse = (args: readonly string[]) => parseOptions(args, options, Number.POSITIVE_INFINITY);

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
    ...(olderThan === undefined ? {} : { olderThan: knownDuration(olderThan) }),
    ...(after === undefined ? {} : { after: wholeNumber("--after", after) }),
    ...(limit === undefined ? {} : { limit: wholeNumber("--limit", limit, 1) }),
  };
}

function knownDuration(text: string): string {
  if (durationToMs(text) !== undefined) return text;
  throw new UsageError(`--older-than: expected a duration such as 30s, 15m, 1h or 7d, got '${text}'`);
}

function knownReason(named: string | undefined): void {
  if (named === undefined || deadLetterReasons.some((reason) => reason === named)) return;
  throw new UsageError(`unknown reason ${named}; the reasons are ${deadLetterReasons.join(", ")}`);
}

function oneId(command: string, operands: readonly string[]): number {
  noMore(operands, 1);
  return idOf(required(operands[0], command, "an id"));
}

function idOf(operand: string): number {
  return wholeNumber("an id", operand);
}
